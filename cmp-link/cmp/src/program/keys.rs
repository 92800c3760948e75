//! `msp rotate-key`: puts a new key or secret before the present one in the configuration file, whose
//! comments and order stay as they are; later `--finish` takes the old one out (R-5.2-8, R-6-2).

use crate::config::File;
use crate::service::random;
use aid_cli::cli::Failure;
use aid_cli::config::load;
use aid_cli::list::show;
use aid_cli::tls;
use aid_serve::peer::{common_name, fingerprint};
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
    /// The client certificate that the MSP shows (`certificate_sha256`, and `common_name` where that is given);
    /// `--certificate` has the new one.
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
    let block = block_of(&mut document, msp)?;
    let name = key.name();
    if let (Key::Certificate, None, Some(new)) = (key, block.get(name), new) {
        block.insert(name, toml_edit::value(new));
        return Ok(document.to_string());
    }
    let mut values = values_of(block, msp, name)?;
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
    put_values(block, msp, name, &values)?;
    Ok(document.to_string())
}

/// The file's text with the client certificate of the MSP replaced: by name, by hash or by both, as its certificates
/// are named so far, because a certificate must fit by all that is given. `new` is the common name and the hash of the
/// new one, put first; none: only the first are left.
///
/// # Errors
/// One sentence: no such MSP, too many values, a certificate that is admitted already or that has no name to go by.
pub(super) fn rotated_certificate(
    text: &str,
    msp: &str,
    new: Option<(Option<&str>, &str)>,
) -> Result<String, String> {
    const NAMES: &str = "common_name";
    let hashes = Key::Certificate.name();
    let mut document: DocumentMut = text.parse().map_err(|e| format!("{e}"))?;
    let block = block_of(&mut document, msp)?;
    let (named, pinned) = (block.contains_key(NAMES), block.contains_key(hashes));
    let Some((common_name, hash)) = new else {
        for key in [NAMES, hashes] {
            if block.contains_key(key) {
                let values = values_of(block, msp, key)?;
                put_values(block, msp, key, values.get(..1).unwrap_or(&values))?;
            }
        }
        return Ok(document.to_string());
    };
    let mut changed = false;
    if named {
        let name = common_name.ok_or_else(|| {
            format!("[[msp]] {msp:?} is known by {NAMES}, and this certificate has none")
        })?;
        let mut names = values_of(block, msp, NAMES)?;
        if !names.iter().any(|n| n == name) {
            names.insert(0, name.to_owned());
            put_values(block, msp, NAMES, &names)?;
            changed = true;
        }
    }
    if pinned {
        let mut all = values_of(block, msp, hashes)?;
        let plain = |text: &str| text.replace(':', "").to_lowercase();
        if !all.iter().any(|h| plain(h) == plain(hash)) {
            all.insert(0, hash.to_owned());
            put_values(block, msp, hashes, &all)?;
            changed = true;
        }
    } else if !named {
        block.insert(hashes, toml_edit::value(hash));
        changed = true;
    }
    match changed {
        true => Ok(document.to_string()),
        false => Err(format!(
            "[[msp]] {msp:?}: this certificate is admitted already"
        )),
    }
}

/// The section of an MSP.
fn block_of<'a>(
    document: &'a mut DocumentMut,
    msp: &str,
) -> Result<&'a mut toml_edit::Table, String> {
    let blocks = document
        .get_mut("msp")
        .and_then(Item::as_array_of_tables_mut);
    let block = blocks.and_then(|list| {
        let named = |t: &&mut toml_edit::Table| t.get("name").and_then(Item::as_str) == Some(msp);
        list.iter_mut().find(named)
    });
    block.ok_or_else(|| format!("no [[msp]] is called {msp:?}; `msp list` shows all"))
}

/// The values of a key, which is a text or a list of texts.
fn values_of(block: &toml_edit::Table, msp: &str, name: &str) -> Result<Vec<String>, String> {
    let item = block
        .get(name)
        .and_then(Item::as_value)
        .ok_or_else(|| format!("[[msp]] {msp:?} has no {name}"))?;
    match item {
        Value::String(one) => Ok(vec![one.value().clone()]),
        Value::Array(list) => Ok(list
            .iter()
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect()),
        _ => Err(format!(
            "[[msp]] {msp:?}: {name} is neither a text nor a list of texts"
        )),
    }
}

/// Puts the values of a key; the comments around it stay.
fn put_values(
    block: &mut toml_edit::Table,
    msp: &str,
    name: &str,
    values: &[String],
) -> Result<(), String> {
    if values.len() > MAX_VALUES {
        return Err(format!(
            "[[msp]] {msp:?}: {name} has {MAX_VALUES} values already; finish the last rotation first"
        ));
    }
    if let Some(item) = block.get_mut(name).and_then(Item::as_value_mut) {
        let decor = item.decor().clone();
        *item = match values {
            [one] => Value::from(one.as_str()),
            many => Value::Array(many.iter().map(String::as_str).collect::<Array>()),
        };
        *item.decor_mut() = decor;
    }
    Ok(())
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
    /// The file's text with the key replaced, and the new value; none where the old one goes.
    fn apply(&self, text: &str) -> Result<(String, Option<String>), Failure> {
        if self.key != Key::Certificate || self.finish {
            let new = self.new_value()?;
            let text = match self.key {
                Key::Certificate => rotated_certificate(text, self.msp, None),
                key => rotated(text, self.msp, key, new.as_deref()),
            };
            return Ok((text.map_err(Failure::new)?, new));
        }
        let Some(file) = self.certificate else {
            return Err(Failure::usage(
                "give the MSP's new certificate with --certificate FILE",
            ));
        };
        let chain = tls::certificates(file)?;
        let Some(certificate) = chain.first() else {
            return Err(Failure::new(format!(
                "{} has no certificate",
                file.display()
            )));
        };
        let (name, hash) = (
            common_name(certificate),
            hex::encode(fingerprint(certificate)),
        );
        let new = Some((name.as_deref(), hash.as_str()));
        let text = rotated_certificate(text, self.msp, new).map_err(Failure::new)?;
        Ok((text, Some(hash)))
    }

    /// The new value; none where the old one goes.
    fn new_value(&self) -> Result<Option<String>, Failure> {
        match (self.finish, self.key, self.certificate) {
            (true, _, None) => Ok(None),
            (_, _, Some(_)) => Err(Failure::usage(
                "--certificate goes with --key certificate, and not with --finish",
            )),
            (false, _, None) => Ok(Some(hex::encode([random(), random()].concat()))),
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
    let (text, new) = wish.apply(&text).map_err(|e| Failure {
        text: format!("{}: {}", path.display(), e.text),
        ..e
    })?;
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
    show(row, json)?;
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

    // R-6-5: a certificate must fit by all that is given, so both halves are rotated together.
    #[test]
    fn a_certificate_is_rotated_by_name_and_by_hash() {
        let add = |text: &str, name, hash| rotated_certificate(text, "A", Some((name, hash)));
        let finish = |text: &str| rotated_certificate(text, "A", None).unwrap();
        // By name alone: a hash would shut out the present certificate at once.
        let named = FILE.replace("api_key_in = \"old\"", "common_name = \"old\"");
        let both = add(&named, Some("new"), "aa").unwrap();
        assert_eq!(both, named.replace("\"old\"", "[\"new\", \"old\"]"));
        assert_eq!(finish(&both), named.replace("\"old\"", "\"new\""));
        assert!(add(&named, Some("old"), "aa").is_err(), "admitted already");
        assert!(add(&named, None, "aa").unwrap_err().contains("common_name"));
        // By hash alone.
        let pinned = FILE.replace("api_key_in = \"old\"", "certificate_sha256 = \"AA:BB\"");
        let both = add(&pinned, None, "cc").unwrap();
        assert_eq!(both, pinned.replace("\"AA:BB\"", "[\"cc\", \"AA:BB\"]"));
        assert_eq!(finish(&both), pinned.replace("AA:BB", "cc"));
        assert!(add(&pinned, None, "aabb").is_err(), "admitted already");
        // By both.
        let strict = pinned.replace("AA:BB\"", "AA:BB\"\ncommon_name = \"old\"");
        let both = add(&strict, Some("new"), "cc").unwrap();
        assert!(both.contains("[\"cc\", \"AA:BB\"]") && both.contains("[\"new\", \"old\"]"));
        let done = finish(&both);
        assert!(
            done.contains("= \"cc\"") && done.contains("= \"new\""),
            "{done}"
        );
        let renewed = add(&strict, Some("old"), "cc").unwrap();
        assert!(
            renewed.contains("[\"cc\", \"AA:BB\"]") && renewed.contains("common_name = \"old\"")
        );
        // By neither, which nothing admits: now by hash.
        let first = add(FILE, Some("new"), "aa").unwrap();
        assert!(first.contains("certificate_sha256 = \"aa\""), "{first}");
        assert!(
            rotated_certificate(FILE, "C", None)
                .unwrap_err()
                .contains("msp list")
        );
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
