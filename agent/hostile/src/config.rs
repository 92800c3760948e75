//! What a configuration of the agent may not do, whoever wrote it: the body of the fuzz target `config`.
//!
//! An input is the file `agent.toml`. Promises: no panic; one that is accepted has paths that do not depend on the folder in
//! which the agent was started, an address of a CMP, times and budgets in their bounds, at most eight bearers, none of them the OP's
//! own interface; one that is refused says why in a few lines that name the file.

use aid_agent::config::Config;
use std::cell::OnceCell;
use tempfile::TempDir;

/// Longest reason, bytes: the agent quotes what it refuses.
const MAX_REASON: usize = 1 << 16;

thread_local! {
    /// The folder of the configuration, on each thread its own.
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

/// The target.
///
/// # Panics
/// When a promise is broken.
pub fn run(data: &[u8]) {
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| tempfile::tempdir().expect("a folder"));
        let file = folder.path().join("agent.toml");
        std::fs::write(&file, data).expect("a file");
        match Config::load(&file) {
            Ok(config) => check(&config),
            Err(failure) => {
                assert!(failure.text.contains("agent.toml"), "{}", failure.text);
                assert!(failure.text.len() < MAX_REASON, "{}", failure.text.len());
            }
        }
    });
}

fn check(config: &Config) {
    let paths = [
        &config.journal,
        &config.api,
        &config.cmp.ca,
        &config.cmp.cert,
        &config.session.offline_secret,
    ];
    for path in paths.into_iter().chain(&config.rsp.ci) {
        assert!(path.is_absolute(), "{}", path.display());
    }
    let (host, _) = config.cmp.host_port().expect("an address");
    assert!(!host.is_empty());
    assert!(config.session.grace_s <= 86_400);
    assert!((1..=65_536).contains(&config.limits.repeat_mib_per_day));
    config.euicc.settings().expect("a card");
    config.device.device().expect("a device");
    assert!(!config.certificates().is_empty());
    // What is shown of it is a text, whatever its names are.
    let bearers = config.bearer.bearers();
    assert!(!bearers.name().is_empty());
}

/// Valid inputs: the example, and what its comments offer.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let example = aid_agent::config::EXAMPLE;
    let port = "port = \"socket:127.0.0.1:7816\"";
    let cards = [
        "port = \"at:/dev/ttyUSB2:115200\"",
        "port = \"spi:/dev/spidev0.0:1000000\"",
        "port = \"i2c:/dev/i2c-1:0x48\"",
        "port = \"exec:/usr/libexec/card --slot 1\"",
        "socket = \"127.0.0.1:7816\"",
    ];
    let mut seeds = vec![example.to_owned(), String::new()];
    seeds.extend(cards.map(|card| example.replace(port, card)));
    seeds.push(example.replace("\n# ", "\n"));
    let table = "[bearer]\ninterface = \"\"               # leave through this network interface only, e.g. \"wwan0\"\nsource = \"\"                  # or from this address\n";
    seeds.push(example.replace(
        table,
        "[[bearer]]\ninterface = \"rmnet0\"\n[[bearer]]\nsource = \"192.168.7.2\"\n",
    ));
    seeds.push(example.replace("grace_s = 600", "grace_s = 86401"));
    seeds.push(example.replace("repeat_mib_per_day = 10", "repeat_mib_per_day = 0"));
    seeds.into_iter().map(String::into_bytes).collect()
}
