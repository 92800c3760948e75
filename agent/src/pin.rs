//! Hashes PINs for logins without a connection: Argon2id, salted by the CMP, and keyed with a secret of the car that is in no
//! journal. Who has the journal alone learns nothing of a PIN; who has the secret, too, has to hash each PIN that they try.

use aid_agent_core::{Id, Secret};
use aid_cli::private;
use argon2::{Algorithm, Argon2, Params, Version};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use zeroize::Zeroizing;

/// Memory of one hash, KiB; passes over it. One of the choices that OWASP names as equally strong, that with the least memory:
/// a TCU has little.
const MEMORY_KIB: u32 = 7168;
const PASSES: u32 = 5;
/// Length of the car's secret, bytes.
const SECRET: usize = 32;

/// The hash of a PIN. The secret is made when it is needed first.
///
/// # Errors
/// The secret can't be read or made, or there is no memory; one sentence.
pub(crate) fn hash(secret: &Path, salt: &Id, user: &str, pin: &Secret) -> Result<[u8; 32], String> {
    let key = load(secret).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => make(secret),
        _ => Err(error),
    });
    let key = key.map_err(|e| {
        format!(
            "the secret for logins without a connection, {}, can't be used: {e}",
            secret.display()
        )
    })?;
    let wrong = |e: argon2::Error| format!("a PIN can't be hashed: {e}");
    let params = Params::new(MEMORY_KIB, PASSES, 1, Some(32)).map_err(wrong)?;
    let argon = Argon2::new_with_secret(&*key, Algorithm::Argon2id, Version::V0x13, params);
    let argon = argon.map_err(wrong)?;
    // No two pairs of name and PIN have the same bytes.
    let length = u32::try_from(user.len()).unwrap_or(u32::MAX).to_be_bytes();
    let input = Zeroizing::new([&length, user.as_bytes(), pin.expose().as_bytes()].concat());
    let mut hash = [0; 32];
    argon
        .hash_password_into(&input, salt, &mut hash)
        .map_err(wrong)?;
    Ok(hash)
}

fn load(path: &Path) -> io::Result<Zeroizing<[u8; SECRET]>> {
    let mut key = Zeroizing::new([0; SECRET]);
    let mut file = File::open(path)?;
    private::tighten(path, &file);
    file.read_exact(&mut *key)?;
    Ok(key)
}

/// Makes the secret, whole and on disk, or not at all.
fn make(path: &Path) -> io::Result<Zeroizing<[u8; SECRET]>> {
    let mut key = Zeroizing::new([0; SECRET]);
    getrandom::fill(&mut *key).map_err(io::Error::other)?;
    let new = path.with_extension("new");
    let mut file = private::options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&new)?;
    file.write_all(&*key)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_hash_needs_the_same_pin_name_salt_and_car() {
        let folder = tempfile::tempdir().expect("folder");
        let (car, other) = (folder.path().join("a"), folder.path().join("b"));
        let of = |car: &Path, salt: u8, user: &str, pin: &str| {
            hash(car, &[salt; 16], user, &Secret::new(pin.to_owned())).expect("hash")
        };
        let first = of(&car, 1, "eva", "123456");
        assert_eq!(first, of(&car, 1, "eva", "123456"), "the secret is kept");
        let mode = std::fs::metadata(&car)
            .expect("secret")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        for different in [
            of(&car, 1, "eva", "123457"),
            of(&car, 1, "eva1", "23456"),
            of(&car, 2, "eva", "123456"),
            of(&other, 1, "eva", "123456"),
        ] {
            assert_ne!(first, different);
        }
        // Without its secret the car can't tell any more; a damaged one is no new one.
        std::fs::write(&car, [1; 3]).expect("write");
        let error = hash(&car, &[1; 16], "eva", &Secret::new("123456".into()));
        assert!(error.expect_err("damaged").contains("can't be used"));
        std::fs::remove_file(&car).expect("remove");
        assert_ne!(first, of(&car, 1, "eva", "123456"));
    }
}
