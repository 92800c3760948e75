#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| aid_agent_hostile::api::run(data));
