//! `msp rotate-key`: puts a new key or secret before the present one in the configuration file, whose
//! comments and order stay as they are; later `--finish` takes the old one out (R-5.2-8, R-6-2).
//! Called by the command line.

use super::admin::show;
use crate::config::File;
use crate::service::fresh;
use aid_shell::cli::Failure;
use aid_shell::config::load;
use aid_shell::peer::fingerprint;
use aid_shell::tls;
use clap::ValueEnum;
use serde_json::json;
use std::io::Write as _;
use std::path::Path;
use toml_edit::{Array, DocumentMut, Item, Value};

/// Most values at once; more would be keys that nobody remembers.
const MAX_VALUES: usize = 4;

/// What is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Key {
    /// The API key that the MSP sends (`api_key_in`).
    ApiKey,
    /// The secret that signs account ids (`account_id_secret`).
    AccountIdSecret,
    /// The key of phone numbers (`phone_key`).
    PhoneKey,
    /// The password that the MSP sends (`basic_in`); its user stays.
    Basic,
    /// The client certificate that the MSP shows (`certificate_sha256`); `--certificate` has the new one.
    Certificate,
}

impl Key {
    /// Its name in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key_in",
            Self::AccountIdSecret => "account_id_secret",
            Self::PhoneKey => "phone_key",
            Self::Basic => "basic_in",
            Self::Certificate => "certificate_sha256",
        }
    }
}

/// The file's text with the key of the MSP replaced: `new` put first, or only the first left.
///
/// # Errors
/// One sentence: no such MSP, no such key, too many values.
pub fn rotated(text: &str, msp: &str, key: Key, new: Option<&str>) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|e| format!("{e}"))?;
    let blocks = document
        .get_mut("msp")
        .and_then(Item::as_array_of_tables_mut);
    let block = blocks.and_then(|list| {
        let named = |t: &&mut toml_edit::Table| t.get("name").and_then(Item::as_str) == Some(msp);
        list.iter_mut().find(named)
    });
    let block =
        block.ok_or_else(|| format!("no [[msp]] is called {msp:?}; `msp list` shows all"))?;
    let name = key.name();
    if let (Key::Certificate, None, Some(new)) = (key, block.get(name), new) {
        // So far any certificate of its name: now this one, and --finish has nothing to take out.
        block.insert(name, toml_edit::value(new));
        return Ok(document.to_string());
    }
    let item = block
        .get_mut(name)
        .and_then(Item::as_value_mut)
        .ok_or_else(|| format!("[[msp]] {msp:?} has no {name}"))?;
    let mut values: Vec<String> = match &*item {
        Value::String(one) => vec![one.value().clone()],
        Value::Array(list) => list
            .iter()
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect(),
        _ => {
            return Err(format!(
                "[[msp]] {msp:?}: {name} is neither a text nor a list of texts"
            ));
        }
    };
    match new {
        Some(_) if key == Key::Basic => {
            let user = values.first().and_then(|v| v.split_once(':'));
            let (user, _) = user.ok_or_else(|| format!("{name} is not user:password"))?;
            values.insert(0, format!("{user}:{}", new.unwrap_or_default()));
        }
        Some(new) if key == Key::Certificate && values.iter().any(|v| v == new) => {
            return Err(format!(
                "[[msp]] {msp:?}: {name} has this certificate already"
            ));
        }
        Some(new) => values.insert(0, new.to_owned()),
        None => values.truncate(1),
    }
    if values.len() > MAX_VALUES {
        return Err(format!(
            "[[msp]] {msp:?}: {name} has {MAX_VALUES} values already; finish the last rotation first"
        ));
    }
    let decor = item.decor().clone();
    *item = match values.as_slice() {
        [one] => Value::from(one.as_str()),
        many => Value::Array(many.iter().map(String::as_str).collect::<Array>()),
    };
    *item.decor_mut() = decor;
    Ok(document.to_string())
}

/// What of which MSP is replaced.
#[derive(Debug)]
pub(super) struct Wish<'a> {
    pub(super) msp: &'a str,
    pub(super) key: Key,
    /// The MSP's new certificate.
    pub(super) certificate: Option<&'a Path>,
    /// The old value goes.
    pub(super) finish: bool,
}

impl Wish<'_> {
    /// The new value; none where the old one goes.
    fn new_value(&self) -> Result<Option<String>, Failure> {
        match (self.finish, self.key, self.certificate) {
            (true, _, None) => Ok(None),
            (false, Key::Certificate, Some(file)) => {
                let chain = tls::certificates(file)?;
                Ok(chain.first().map(|c| hex::encode(fingerprint(c))))
            }
            (false, Key::Certificate, None) => Err(Failure::usage(
                "give the MSP's new certificate with --certificate FILE",
            )),
            (_, _, Some(_)) => Err(Failure::usage(
                "--certificate goes with --key certificate, and not with --finish",
            )),
            (false, _, None) => Ok(Some(hex::encode([fresh(), fresh()].concat()))),
        }
    }

    /// What is to be done next.
    fn next(&self) -> &'static str {
        match (self.finish, self.key) {
            (true, _) => "a running aid-cmp refuses the old value within seconds",
            (false, Key::ApiKey | Key::Basic) => {
                "a running aid-cmp takes both within seconds; give the new value to the MSP, then --finish"
            }
            (false, Key::Certificate) => {
                "a running aid-cmp takes both within seconds; when the MSP shows the new one, --finish"
            }
            (false, Key::AccountIdSecret) => {
                "a running aid-cmp signs with the new value within seconds, and takes both: the MSP must have it by now; then --finish"
            }
            (false, Key::PhoneKey) => {
                "a running aid-cmp decrypts with both within seconds; give the new value to the MSP, then --finish"
            }
        }
    }
}

/// Rotates, writes the file at once or not at all, and shows the new value once. Yields what the audit
/// trail says; the value is not in it.
///
/// # Errors
/// The file can't be read, understood or written.
pub(super) fn rotate(path: &Path, wish: &Wish<'_>, json: bool) -> Result<String, Failure> {
    let (msp, key) = (wish.msp, wish.key);
    let wrong = |e: &dyn std::fmt::Display| Failure::new(format!("{}: {e}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| wrong(&e))?;
    let new = wish.new_value()?;
    let text = rotated(&text, msp, key, new.as_deref()).map_err(|e| wrong(&e))?;
    // A new file beside the old one, with its permissions, takes its name.
    let beside = path.with_added_extension("new");
    let write = || -> std::io::Result<()> {
        std::fs::copy(path, &beside)?;
        let mut file = std::fs::File::options()
            .write(true)
            .truncate(true)
            .open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|e| wrong(&e))?;
    // What this program could not read tomorrow does not take the place of what it reads today.
    if let Err(error) = load::<File>(&beside) {
        let _ = std::fs::remove_file(&beside);
        return Err(error);
    }
    std::fs::rename(&beside, path).map_err(|e| wrong(&e))?;
    let row = json!({"msp": msp, "key": key.name(), "new": new, "next": wish.next()});
    show(vec![row], json)?;
    Ok(format!("{msp} {}", key.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# ours\n[[msp]]\nname = \"A\"\napi_key_in = \"old\"  # we accept this\n\
                        [[msp]]\nname = \"B\"\napi_key_in = [\"b1\", \"b2\"]\nphone_key = 5\n";

    // R-5.2-8 R-6-2
    #[test]
    fn the_new_key_stands_before_the_old_one_until_that_is_finished() {
        let both = rotated(FILE, "A", Key::ApiKey, Some("new")).unwrap();
        assert_eq!(
            both,
            FILE.replace("\"old\"", "[\"new\", \"old\"]"),
            "comments, order and the other MSP stay"
        );
        let done = rotated(&both, "A", Key::ApiKey, None).unwrap();
        assert_eq!(done, FILE.replace("\"old\"", "\"new\""));
        let other = rotated(FILE, "B", Key::ApiKey, Some("b0")).unwrap();
        assert!(other.contains("[\"b0\", \"b1\", \"b2\"]"), "{other}");
    }

    // R-6-5
    #[test]
    fn a_password_keeps_its_user_and_a_certificate_may_be_the_first() {
        let file = FILE.replace("api_key_in = \"old\"", "basic_in = \"u:old\"");
        let both = rotated(&file, "A", Key::Basic, Some("new")).unwrap();
        assert!(both.contains("[\"u:new\", \"u:old\"]"), "{both}");
        let one = rotated(FILE, "A", Key::Certificate, Some("aa")).unwrap();
        assert!(one.contains("certificate_sha256 = \"aa\""), "{one}");
        let two = rotated(&one, "A", Key::Certificate, Some("bb")).unwrap();
        assert!(two.contains("[\"bb\", \"aa\"]"), "{two}");
        assert!(rotated(&two, "A", Key::Certificate, Some("aa")).is_err());
        let done = rotated(&two, "A", Key::Certificate, None).unwrap();
        assert!(done.contains("certificate_sha256 = \"bb\""), "{done}");
    }

    #[test]
    fn mistakes_change_nothing() {
        let error = |text: &str, msp, key| rotated(text, msp, key, Some("n")).unwrap_err();
        assert!(error(FILE, "C", Key::ApiKey).contains("msp list"));
        assert!(error(FILE, "A", Key::AccountIdSecret).contains("account_id_secret"));
        assert!(error(FILE, "B", Key::PhoneKey).contains("neither"));
        assert!(!error("[[msp", "A", Key::ApiKey).is_empty());
        let four = FILE.replace("\"old\"", "[\"1\", \"2\", \"3\", \"4\"]");
        assert!(error(&four, "A", Key::ApiKey).contains("finish"));
    }
}
