//! Keys in a token behind PKCS#11: ECDSA on P-256. The key never leaves the token; the session with it is opened again when
//! it is lost. A PIN that the token refused is not tried again before its file changes, and never as the last try that the
//! token allows: a car in the field has nobody who could unlock it.

use super::{KeyError, TokenUri};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use ring::digest::{SHA256, digest};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::sign::{Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

/// Longest wait for a token: whoever waits is the daemon's loop.
const PATIENCE: Duration = Duration::from_secs(10);
/// OID prime256v1, DER.
const P256: &[u8] = &[0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
/// What stands before the point in the SubjectPublicKeyInfo of a key on P-256.
const SPKI: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A,
    0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// An uncompressed point, bytes.
const POINT: usize = 65;
/// Longest file of a PIN, bytes.
const MAX_PIN: u64 = 256;
/// Keys under one label that are looked at.
const MAX_KEYS: usize = 64;

/// Libraries that were loaded: each is initialized once in a process.
static LIBRARIES: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());
/// Files whose PIN a token refused, as they looked then.
static REFUSED: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());

fn library(path: &Path) -> Result<Pkcs11, KeyError> {
    let mut loaded = LIBRARIES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(library) = loaded.get(path) {
        return Ok(library.clone());
    }
    let wrong = |e: Error| {
        KeyError(format!(
            "the PKCS#11 library {} can't be used: {e}; check module-path",
            path.display()
        ))
    };
    let library = Pkcs11::new(path).map_err(wrong)?;
    match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(wrong(error)),
    }
    loaded.insert(path.to_owned(), library.clone());
    Ok(library)
}

/// The slot with the token.
fn slot(library: &Pkcs11, uri: &TokenUri) -> Result<Slot, KeyError> {
    let wrong = |e: Error| KeyError(format!("the tokens can't be listed: {e}"));
    for slot in library.get_slots_with_token().map_err(wrong)? {
        // One that was removed meanwhile is none.
        let Ok(info) = library.get_token_info(slot) else {
            continue;
        };
        let fits = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w == is);
        if fits(&uri.token, info.label().trim_end())
            && fits(&uri.serial, info.serial_number().trim_end())
        {
            return Ok(slot);
        }
    }
    Err(KeyError(format!(
        "the token of {uri} is not there; insert it, or check token and serial; it is tried again"
    )))
}

/// What a file looks like from outside: a changed one looks otherwise.
fn look(file: &Path) -> Result<String, KeyError> {
    let meta = std::fs::metadata(file)
        .map_err(|e| KeyError(format!("pin-source {} can't be read: {e}", file.display())))?;
    if !meta.is_file() || meta.mode() & 0o037 != 0 {
        let mode = meta.mode() & 0o7777;
        return Err(KeyError(format!(
            "pin-source {} has mode {mode:04o}, others can read or change the PIN; make it a file with mode 0600",
            file.display()
        )));
    }
    Ok(format!(
        "{}.{} {} {}",
        meta.mtime(),
        meta.mtime_nsec(),
        meta.len(),
        meta.ino()
    ))
}

/// Where it is noted, for the next start, that a PIN was refused.
fn mark(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".refused");
    name.into()
}

fn read_pin(file: &Path) -> Result<AuthPin, KeyError> {
    let wrong = |e: &dyn std::fmt::Display| {
        KeyError(format!("pin-source {} can't be read: {e}", file.display()))
    };
    let mut text = String::new();
    let open = std::fs::File::open(file).map_err(|e| wrong(&e))?;
    open.take(MAX_PIN)
        .read_to_string(&mut text)
        .map_err(|e| wrong(&e))?;
    let pin = text.lines().next().unwrap_or_default();
    match pin.is_empty() {
        true => Err(wrong(&"its first line, the PIN, is empty")),
        false => Ok(AuthPin::new(pin.into())),
    }
}

/// A session that is logged in.
fn session(uri: &TokenUri) -> Result<Session, KeyError> {
    let library = library(&uri.module_path)?;
    let slot = slot(&library, uri)?;
    let info = library
        .get_token_info(slot)
        .map_err(|e| KeyError(format!("the token of {uri} does not answer: {e}")))?;
    let session = library
        .open_rw_session(slot)
        .map_err(|e| KeyError(format!("no session with the token of {uri}: {e}")))?;
    let Some(file) = &uri.pin_source else {
        return Ok(session);
    };
    let looks = look(file)?;
    if info.user_pin_locked() {
        return Err(KeyError(format!(
            "the PIN of the token of {uri} is locked; unlock it with the token's SO PIN"
        )));
    }
    let again = KeyError(format!(
        "the token of {uri} refused the PIN in {}; write the right one into the file: it is not tried again before",
        file.display()
    ));
    let mut refused = REFUSED.lock().unwrap_or_else(PoisonError::into_inner);
    let noted = std::fs::read_to_string(mark(file)).ok();
    if refused.get(file) == Some(&looks) || noted.as_ref() == Some(&looks) {
        return Err(again);
    }
    if info.user_pin_final_try() {
        return Err(KeyError(format!(
            "the token of {uri} would lock after one more wrong PIN, so none is tried; log in to it with the right one \
             by the tool of its maker"
        )));
    }
    match session.login(UserType::User, Some(&read_pin(file)?)) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
            refused.remove(file);
            let _ = std::fs::remove_file(mark(file));
            Ok(session)
        }
        Err(Error::Pkcs11(
            RvError::PinIncorrect | RvError::PinLenRange | RvError::PinInvalid,
            _,
        )) => {
            // Where the folder can't be written, this process knows it at least.
            if let Err(error) = aid_cli::private::write(&mark(file), looks.as_bytes()) {
                tracing::warn!(%error, "that the PIN was refused is forgotten with the next start");
            }
            refused.insert(file.clone(), looks);
            Err(again)
        }
        Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(KeyError(format!(
            "the PIN of the token of {uri} is locked; unlock it with the token's SO PIN"
        ))),
        Err(error) => Err(KeyError(format!("no login to the token of {uri}: {error}"))),
    }
}

fn failed(uri: &TokenUri, error: &Error) -> KeyError {
    KeyError(format!(
        "the token of {uri} failed: {error}; it is tried again"
    ))
}

/// The point of a SubjectPublicKeyInfo on P-256.
fn point(spki: &[u8]) -> Option<&[u8]> {
    spki.strip_prefix(SPKI).filter(|p| p.len() == POINT)
}

/// A public key of the token.
struct Public {
    handle: ObjectHandle,
    id: Vec<u8>,
    point: Vec<u8>,
}

fn public_keys(session: &Session, uri: &TokenUri) -> Result<Vec<Public>, Error> {
    let label = Attribute::Label(uri.object.clone().into_bytes());
    let class = Attribute::Class(ObjectClass::PUBLIC_KEY);
    let mut found = Vec::new();
    for handle in session
        .find_objects(&[class, label])?
        .into_iter()
        .take(MAX_KEYS)
    {
        let wanted = [AttributeType::Id, AttributeType::EcPoint];
        let (mut id, mut point) = (None, None);
        for attribute in session.get_attributes(handle, &wanted)? {
            match attribute {
                Attribute::Id(bytes) => id = Some(bytes),
                // An OCTET STRING; some tokens leave that away.
                Attribute::EcPoint(bytes) => {
                    point = Some(match bytes.as_slice() {
                        [0x04, 0x41, rest @ ..] if rest.len() == POINT => rest.to_vec(),
                        _ => bytes,
                    });
                }
                _ => {}
            }
        }
        if let (Some(id), Some(point)) = (id, point) {
            found.push(Public { handle, id, point });
        }
    }
    Ok(found)
}

fn private_keys(
    session: &Session,
    uri: &TokenUri,
    id: Option<&[u8]>,
) -> Result<Vec<ObjectHandle>, Error> {
    let label = Attribute::Label(uri.object.clone().into_bytes());
    let mut template = vec![Attribute::Class(ObjectClass::PRIVATE_KEY), label];
    template.extend(id.map(|id| Attribute::Id(id.to_vec())));
    session.find_objects(&template)
}

/// The private key behind a point.
fn private_key(
    session: &Session,
    uri: &TokenUri,
    point: &[u8],
) -> Result<Option<ObjectHandle>, Error> {
    for public in public_keys(session, uri)? {
        if public.point == point
            && let [key, ..] = private_keys(session, uri, Some(&public.id))?.as_slice()
        {
            return Ok(Some(*key));
        }
    }
    // Some tools store no public key: a signature says whose the private one is.
    for key in private_keys(session, uri, None)?.into_iter().take(MAX_KEYS) {
        let probe = b"aid: whose key is this?";
        let raw = session.sign(&Mechanism::Ecdsa, key, digest(&SHA256, probe).as_ref());
        let signature = raw.ok().and_then(|raw| ecdsa_der(&raw));
        let verify =
            |s: &[u8]| UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(probe, s);
        if signature.is_some_and(|s| verify(&s).is_ok()) {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// r and s, as PKCS#11 has them, as an ECDSA-Sig-Value (RFC 5480).
fn ecdsa_der(raw: &[u8]) -> Option<Vec<u8>> {
    let integer = |bytes: &[u8]| -> Vec<u8> {
        let zeros = bytes.iter().take_while(|b| **b == 0).count();
        // One zero at least is left of the number 0.
        let bytes = bytes.get(zeros.min(bytes.len() - 1)..).unwrap_or_default();
        let sign = bytes.first().is_some_and(|b| b & 0x80 != 0);
        let length = bytes.len() + usize::from(sign);
        let mut out = vec![0x02, u8::try_from(length).unwrap_or_default()];
        out.extend(sign.then_some(0));
        out.extend_from_slice(bytes);
        out
    };
    if raw.len() != 64 {
        return None;
    }
    let (r, s) = raw.split_at(32);
    let content = [integer(r), integer(s)].concat();
    let mut der = vec![0x30, u8::try_from(content.len()).ok()?];
    der.extend(content);
    Some(der)
}

/// A key of a token, with the session that it was last used in.
#[derive(Debug)]
pub(super) struct TokenKey {
    uri: TokenUri,
    point: Vec<u8>,
    open: Mutex<Option<(Session, ObjectHandle)>>,
    /// A token that hangs is not asked again.
    busy: AtomicBool,
}

impl TokenKey {
    fn open(&self) -> Result<(Session, ObjectHandle), KeyError> {
        let session = session(&self.uri)?;
        let key = private_key(&session, &self.uri, &self.point);
        match key.map_err(|e| failed(&self.uri, &e))? {
            Some(key) => Ok((session, key)),
            None => Err(KeyError(format!(
                "the token has no private key {} that belongs to the certificate; check object, or issue the \
                 certificate for the token's key",
                self.uri
            ))),
        }
    }

    /// Signs with SHA-256. A session that was lost is opened again, once.
    fn sign_now(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let hash = digest(&SHA256, message);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for is_last in [false, true] {
            if open.is_none() {
                *open = Some(self.open()?);
            }
            let Some((session, key)) = open.as_ref() else {
                continue;
            };
            match session.sign(&Mechanism::Ecdsa, *key, hash.as_ref()) {
                Ok(raw) => {
                    return ecdsa_der(&raw).ok_or_else(|| {
                        KeyError(format!("the token of {} gave no ECDSA signature", self.uri))
                    });
                }
                Err(error) => {
                    // Whatever it was: the next one begins with a session of its own.
                    *open = None;
                    if is_last {
                        return Err(failed(&self.uri, &error));
                    }
                }
            }
        }
        Err(KeyError(format!("the token of {} does not sign", self.uri)))
    }

    /// The same, within [`PATIENCE`].
    fn sign(self: &Arc<Self>, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let slow = || KeyError(format!("the token of {} does not answer in time", self.uri));
        if self.busy.swap(true, Ordering::SeqCst) {
            return Err(slow());
        }
        let (key, message) = (Arc::clone(self), message.to_vec());
        within(move || {
            let signed = key.sign_now(&message);
            key.busy.store(false, Ordering::SeqCst);
            signed
        })
        .unwrap_or_else(|| Err(slow()))
    }
}

/// Runs it on a thread of its own; none: it takes too long.
fn within<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tell, hear) = mpsc::channel();
    std::thread::spawn(move || {
        // Nobody waits any more where it took too long.
        let _ = tell.send(work());
    });
    hear.recv_timeout(PATIENCE).ok()
}

fn late(uri: &TokenUri) -> KeyError {
    KeyError(format!(
        "the token of {uri} does not answer in time; it is tried again"
    ))
}

/// The key that belongs to a public key (SubjectPublicKeyInfo).
pub(super) fn signer(uri: &TokenUri, spki: &[u8]) -> Result<Arc<dyn SigningKey>, KeyError> {
    let point = point(spki).ok_or_else(|| {
        KeyError(format!(
            "the certificate of {uri} has no ECDSA key on P-256; keys in tokens are such keys"
        ))
    })?;
    let key = Arc::new(TokenKey {
        uri: uri.clone(),
        point: point.to_vec(),
        open: Mutex::new(None),
        busy: AtomicBool::new(false),
    });
    let opened = Arc::clone(&key);
    let open = within(move || opened.open()).unwrap_or_else(|| Err(late(uri)))?;
    *key.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(open);
    Ok(Arc::new(Shared(key)))
}

/// Generates a key pair in the token; keys under the label that belong to none of `keep` are destroyed before.
pub(super) fn generate(uri: &TokenUri, keep: &[Vec<u8>]) -> Result<Shared, KeyError> {
    let (uri, keep) = (uri.clone(), keep.to_vec());
    let slow = late(&uri);
    within(move || generate_now(&uri, &keep)).unwrap_or(Err(slow))
}

fn generate_now(uri: &TokenUri, keep: &[Vec<u8>]) -> Result<Shared, KeyError> {
    let session = session(uri)?;
    let made = (|| {
        for public in public_keys(&session, uri)? {
            if !keep.iter().any(|spki| point(spki) == Some(&public.point)) {
                for key in private_keys(&session, uri, Some(&public.id))? {
                    session.destroy_object(key)?;
                }
                session.destroy_object(public.handle)?;
            }
        }
        let id = uuid::Uuid::new_v4().into_bytes().to_vec();
        let label = || Attribute::Label(uri.object.clone().into_bytes());
        let public = [
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::EcParams(P256.to_vec()),
            Attribute::Id(id.clone()),
            label(),
        ];
        let private = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            Attribute::Id(id.clone()),
            label(),
        ];
        let (_, key) = session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)?;
        let all = public_keys(&session, uri)?;
        Ok::<_, Error>((all.into_iter().find(|p| p.id == id), key))
    })();
    let (public, key) = made.map_err(|e| failed(uri, &e))?;
    let public = public.filter(|p| p.point.len() == POINT);
    let Some(public) = public else {
        return Err(KeyError(format!("the token of {uri} made no key on P-256")));
    };
    Ok(Shared(Arc::new(TokenKey {
        uri: uri.clone(),
        point: public.point,
        open: Mutex::new(Some((session, key))),
        busy: AtomicBool::new(false),
    })))
}

/// Destroys all keys under the label.
pub(super) fn destroy(uri: &TokenUri) -> Result<(), KeyError> {
    let own = uri.clone();
    let work = move || {
        let session = session(&own)?;
        let gone = (|| {
            let label = || Attribute::Label(own.object.clone().into_bytes());
            for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
                for key in session.find_objects(&[Attribute::Class(class), label()])? {
                    session.destroy_object(key)?;
                }
            }
            Ok::<_, Error>(())
        })();
        gone.map_err(|e| failed(&own, &e))
    };
    within(work).unwrap_or_else(|| Err(late(uri)))
}

/// A key that TLS and certificate requests share.
#[derive(Debug, Clone)]
pub(super) struct Shared(Arc<TokenKey>);

impl SigningKey for Shared {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
        let signer = || -> Box<dyn Signer> { Box::new(self.clone()) };
        offered.contains(&scheme).then(signer)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some([SPKI, &self.0.point].concat().into())
    }
}

impl Signer for Shared {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.0.sign(message).map_err(|e| {
            tracing::error!(error = %e, "the car's key does not sign");
            rustls::Error::General(e.0)
        })
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

impl rcgen::PublicKeyData for Shared {
    fn der_bytes(&self) -> &[u8] {
        &self.0.point
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Shared {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        // rcgen has no place for a text.
        self.0.sign(message).map_err(|error| {
            tracing::error!(%error, "the next key does not sign");
            rcgen::Error::RemoteKeyError
        })
    }
}

#[cfg(test)]
mod tests;
