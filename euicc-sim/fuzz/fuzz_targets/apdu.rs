#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| aid_hostile::run("apdu", data));
