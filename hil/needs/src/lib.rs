//! What tests need of the machine beyond a Rust toolchain: shared public test data, PostgreSQL,
//! mosquitto, openssl, the right to mount a small disk that fills up, prlimit, a C compiler for a library that makes
//! calls fail, the PC/SC daemon with a virtual reader, SoftHSM, a D-Bus daemon, tshark, Chromium, axe-core. A test without it
//! says that it was skipped and passes.
//! Where `AID_REQUIRE` lists the need (`AID_REQUIRE=shared,postgres`), the test fails instead: CI lists what it has
//! provided, so that nothing is skipped there unnoticed.
#![forbid(unsafe_code)]

pub mod disk;
pub mod postgres;
pub mod shim;

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

/// The environment variable that lists the needs that must be met, separated by commas.
pub const REQUIRE: &str = "AID_REQUIRE";
/// The environment variable that names the folder of the shared test data.
pub const SHARED: &str = "AID_SHARED";
/// The environment variable that names the file of axe-core.
pub const AXE: &str = "AID_AXE";

/// Something that a test needs and a machine may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The shared public test data: `$AID_SHARED`, or `../shared` beside the checkout.
    Shared,
    /// PostgreSQL's `initdb` and `pg_ctl`.
    Postgres,
    /// The MQTT broker mosquitto.
    Mosquitto,
    /// The `openssl` command.
    Openssl,
    /// The right to mount a tmpfs, which fills up as a disk does.
    Mount,
    /// The `prlimit` command, which makes writes fail.
    Prlimit,
    /// The C compiler `cc`, and programs of glibc, into which what it makes can be loaded.
    Cc,
    /// The PC/SC daemon `pcscd`, the driver of vsmartcard's virtual reader, and the client `scriptor`.
    Pcscd,
    /// SoftHSM, a PKCS#11 token in files: its library and `softhsm2-util`.
    Softhsm,
    /// `tshark`, Wireshark's command line.
    Tshark,
    /// `systemd-analyze`, which judges units without a running systemd.
    Systemd,
    /// `dbus-daemon`, a message bus; `dbus-send`.
    Dbus,
    /// The right to make network namespaces, and `ip`, `tc` and `nsenter`.
    Netns,
    /// The browser `chromium` with its `chromedriver`.
    Chromium,
    /// axe-core, which judges pages by WCAG: `$AID_AXE`, or `target/axe/axe.min.js`. Its licence is not ours, so it is fetched
    /// and not kept here.
    Axe,
}

impl Need {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Shared,
        Self::Postgres,
        Self::Mosquitto,
        Self::Openssl,
        Self::Mount,
        Self::Prlimit,
        Self::Cc,
        Self::Pcscd,
        Self::Softhsm,
        Self::Tshark,
        Self::Systemd,
        Self::Dbus,
        Self::Netns,
        Self::Chromium,
        Self::Axe,
    ];

    /// Its name in `AID_REQUIRE`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Postgres => "postgres",
            Self::Mosquitto => "mosquitto",
            Self::Openssl => "openssl",
            Self::Mount => "mount",
            Self::Prlimit => "prlimit",
            Self::Cc => "cc",
            Self::Pcscd => "pcscd",
            Self::Softhsm => "softhsm",
            Self::Tshark => "tshark",
            Self::Systemd => "systemd",
            Self::Dbus => "dbus",
            Self::Netns => "netns",
            Self::Chromium => "chromium",
            Self::Axe => "axe",
        }
    }

    /// How to get it.
    const fn remedy(self) -> &'static str {
        match self {
            Self::Shared => "set AID_SHARED to the folder of the shared test data",
            Self::Postgres => "Debian: apt-get install postgresql",
            Self::Mosquitto => "Debian: apt-get install mosquitto",
            Self::Openssl => "Debian: apt-get install openssl",
            Self::Mount => "run the tests as root, where file systems may be mounted",
            Self::Prlimit => "Debian: apt-get install util-linux",
            Self::Cc => "Debian: apt-get install gcc libc6-dev",
            Self::Pcscd => "Debian: apt-get install pcscd vsmartcard-vpcd pcsc-tools",
            Self::Softhsm => "Debian: apt-get install softhsm2",
            Self::Tshark => "Debian: apt-get install tshark",
            Self::Systemd => "Debian: apt-get install systemd",
            Self::Dbus => "Debian: apt-get install dbus",
            Self::Netns => "run the tests as root, with Debian's iproute2 and util-linux",
            Self::Chromium => "Debian: apt-get install chromium chromium-driver",
            Self::Axe => {
                "put axe.min.js of the npm package axe-core into target/axe, or set AID_AXE to it"
            }
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A test may not be skipped: its need is required, or the list of required needs is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Required(String);

impl fmt::Display for Required {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Required {}

/// Whether a test may be skipped for want of `need`, and what it says then; `what` is missing
/// exactly. `required` is the value of `AID_REQUIRE`.
///
/// # Errors
/// [`Required`]: the need is on the list, or the list has an unknown name, which would otherwise
/// require nothing.
pub fn judge(required: Option<&OsStr>, need: Need, what: &str) -> Result<String, Required> {
    let list = required.unwrap_or_default().to_string_lossy().into_owned();
    let names: Vec<&str> = list
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    if let Some(unknown) = names
        .iter()
        .find(|name| Need::ALL.iter().all(|need| need.name() != **name))
    {
        let known = Need::ALL.map(Need::name).join(", ");
        return Err(Required(format!(
            "{REQUIRE} has an unknown name {unknown:?}; there are {known}"
        )));
    }
    let remedy = need.remedy();
    if names.contains(&need.name()) {
        return Err(Required(format!(
            "{REQUIRE} requires {need}, but {what}; {remedy}"
        )));
    }
    Ok(format!("skipped: {what}; {remedy}"))
}

/// As [`judge`], with the `AID_REQUIRE` of this process.
///
/// # Errors
/// As [`judge`].
pub fn skip(need: Need, what: &str) -> Result<String, Required> {
    judge(std::env::var_os(REQUIRE).as_deref(), need, what)
}

/// Says on stderr that a test is skipped because `what` is missing.
///
/// # Panics
/// Where `AID_REQUIRE` does not allow that: the test fails.
#[track_caller]
#[allow(clippy::panic, reason = "a test that must not be skipped has failed")]
pub fn missing(need: Need, what: &str) {
    match skip(need, what) {
        Ok(line) => eprintln!("{line}"),
        Err(required) => panic!("{required}"),
    }
}

/// The text of axe-core; `None` where it is absent.
///
/// # Panics
/// As [`missing`].
#[track_caller]
#[must_use]
pub fn axe() -> Option<String> {
    let file = std::env::var_os(AXE).map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../target/axe/axe.min.js"
            ))
        },
        PathBuf::from,
    );
    match std::fs::read_to_string(&file) {
        Ok(text) => Some(text),
        Err(e) => {
            missing(Need::Axe, &format!("{} ({e})", file.display()));
            None
        }
    }
}

/// A file or folder of the shared test data, e.g. `data/ts48-v7`; `None` where it is absent.
///
/// # Panics
/// As [`missing`].
#[track_caller]
#[must_use]
pub fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os(SHARED).map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let path = root.join(path);
    if path.exists() {
        return Some(path);
    }
    missing(Need::Shared, &format!("{} is absent", path.display()));
    None
}

/// The bytes of a file of the shared test data; `None` where it is absent.
///
/// # Panics
/// As [`missing`].
#[track_caller]
#[must_use]
pub fn shared_bytes(path: &str) -> Option<Vec<u8>> {
    let file = shared(path)?;
    match std::fs::read(&file) {
        Ok(bytes) => Some(bytes),
        Err(e) => {
            missing(Need::Shared, &format!("{} ({e})", file.display()));
            None
        }
    }
}

/// The text of a file of the shared test data; `None` where it is absent.
///
/// # Panics
/// As [`missing`].
#[track_caller]
#[must_use]
pub fn shared_text(path: &str) -> Option<String> {
    match String::from_utf8(shared_bytes(path)?) {
        Ok(text) => Some(text),
        Err(e) => {
            missing(Need::Shared, &format!("{path} is not UTF-8 ({e})"));
            None
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]
mod tests {
    use super::*;

    fn judged(required: Option<&str>, need: Need) -> Result<String, Required> {
        judge(required.map(OsStr::new), need, "it is not here")
    }

    #[test]
    fn a_need_that_is_not_required_is_skipped_with_a_remedy() {
        for need in Need::ALL {
            for list in [None, Some(""), Some(" , ")] {
                let line = judged(list, need).unwrap();
                assert!(line.starts_with("skipped: it is not here; "), "{line}");
                assert!(line.contains(need.remedy()), "{line}");
            }
            let others: Vec<&str> = Need::ALL
                .into_iter()
                .filter(|other| *other != need)
                .map(Need::name)
                .collect();
            assert!(judged(Some(&others.join(",")), need).is_ok());
        }
    }

    #[test]
    fn a_required_need_is_never_skipped() {
        for need in Need::ALL {
            for list in [need.name().to_owned(), format!("shared, {need} ,openssl")] {
                let text = judged(Some(&list), need).unwrap_err().to_string();
                assert!(
                    text.contains(need.name()) && text.contains("it is not here"),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn a_mistyped_name_requires_nothing_silently_never() {
        for list in ["postgresql", "Shared", "shared;openssl", "shared,all"] {
            let text = judged(Some(list), Need::Openssl).unwrap_err().to_string();
            assert!(text.contains("unknown name"), "{text}");
        }
    }
}
