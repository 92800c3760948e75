//! LoadCRL, and the judgement that a certificate is revoked: SGP.22 §4.6, §5.7.12, §4.5.2.2.
//! The lists stay in NVM and are read when a server's certificate is judged, so an idle card holds
//! none of them.

use super::Outcome;
use crate::apdu::sw;
use crate::card::Card;
use crate::nvm::{Key, Nvm, Write};
use aid_rsp::cert::{Certificate, RevocationList, Revoked, TrustAnchor};
use aid_rsp::es10::{DataObject, LoadCrlError, LoadCrlRequest, LoadCrlResponse};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Serial number and end of validity of a revoked certificate.
type Entry = (Vec<u8>, Option<u64>);

/// All lists of all CIs.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Lists(Vec<OfCi>);

#[derive(Debug, Default, Serialize, Deserialize)]
struct OfCi {
    /// Key identifier of the CI.
    ci: Vec<u8>,
    complete: Option<Complete>,
    partial: Option<Partial>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Complete {
    number: u64,
    entries: Vec<Entry>,
}

/// A list that comes in parts; what is there counts already.
#[derive(Debug, Serialize, Deserialize)]
struct Partial {
    number: u64,
    base: Option<u64>,
    total: u32,
    got: Vec<u32>,
    entries: Vec<Entry>,
    /// Serial numbers that a delta list takes off its base list.
    removed: Vec<Vec<u8>>,
}

impl Partial {
    const fn new(list: &RevocationList, total: u32) -> Self {
        Self {
            number: list.number,
            base: list.base,
            total,
            got: Vec::new(),
            entries: Vec::new(),
            removed: Vec::new(),
        }
    }

    fn take(&mut self, part: u32, entries: Vec<Revoked>, now: Option<u64>) {
        self.got.push(part);
        for entry in entries {
            let over = now.zip(entry.expires).is_some_and(|(now, end)| end < now);
            if entry.removed {
                self.removed.push(entry.serial);
            } else if !over {
                self.entries.push((entry.serial, entry.expires));
            }
        }
    }

    fn missing(&self) -> Vec<u64> {
        (1..=self.total)
            .filter(|n| !self.got.contains(n))
            .map(u64::from)
            .collect()
    }
}

impl OfCi {
    /// Takes a list, or a part of one, in; the numbers of the parts that are missing.
    fn take(&mut self, list: RevocationList, now: Option<u64>) -> Result<Vec<u64>, LoadCrlError> {
        let (part, total) = list.part.unwrap_or((1, 1));
        let known = self.complete.as_ref().map(|c| c.number);
        if known.is_some_and(|known| list.number <= known) {
            return Err(LoadCrlError::FresherCrlAlreadyLoaded);
        }
        if list.base.is_some_and(|base| known.is_none_or(|k| k < base)) {
            return Err(LoadCrlError::BaseCrlMissing);
        }
        let mut partial = match self.partial.take() {
            Some(newer) if newer.number > list.number => {
                self.partial = Some(newer);
                return Err(LoadCrlError::FresherCrlAlreadyLoaded);
            }
            Some(same) if same.number == list.number => {
                if (same.total, same.base) != (total, list.base) {
                    self.partial = Some(same);
                    return Err(LoadCrlError::InvalidCrlFormat);
                }
                same
            }
            _ => Partial::new(&list, total),
        };
        if !partial.got.contains(&part) {
            partial.take(part, list.entries, now);
        }
        let missing = partial.missing();
        if missing.is_empty() {
            self.complete(partial);
        } else {
            self.partial = Some(partial);
        }
        Ok(missing)
    }

    fn complete(&mut self, list: Partial) {
        let mut entries = list.entries;
        if list.base.is_some()
            && let Some(old) = self.complete.take()
        {
            let kept = old
                .entries
                .into_iter()
                .filter(|(serial, _)| !list.removed.contains(serial));
            entries.extend(kept);
        }
        entries.sort();
        entries.dedup();
        self.complete = Some(Complete {
            number: list.number,
            entries,
        });
    }

    fn has(&self, serial: &[u8]) -> bool {
        let complete = self.complete.iter().flat_map(|c| &c.entries);
        let partial = self.partial.iter().flat_map(|p| &p.entries);
        complete
            .chain(partial)
            .any(|(revoked, _)| revoked == serial)
    }
}

impl<N: Nvm> Card<N> {
    pub(super) fn load_crl(&mut self, request: &[u8]) -> Outcome {
        let response = match self.take_crl(request) {
            Ok(Ok(missing)) => LoadCrlResponse::Ok(missing),
            Ok(Err(code)) => LoadCrlResponse::Error(code),
            Err(status) => {
                let undefined = LoadCrlResponse::Error(LoadCrlError::UndefinedError);
                self.or_undefined(Err(status), undefined)?
            }
        };
        Ok(response.to_vec())
    }

    fn take_crl(&mut self, request: &[u8]) -> Result<Result<Vec<u64>, LoadCrlError>, u16> {
        use LoadCrlError as Code;
        let list = LoadCrlRequest::from_slice(request)
            .ok()
            .and_then(|r| RevocationList::from_fields(&r.fields).ok());
        let Some(list) = list else {
            return Ok(Err(Code::InvalidCrlFormat));
        };
        let mut anchors = self.identity.anchors.iter();
        let ci = anchors.find(|a| a.key_id() == list.authority_key_id());
        let ci = ci.map(TrustAnchor::certificate);
        let Some(ci) = ci.filter(|ci| list.is_issuer(ci)) else {
            return Ok(Err(Code::VerificationKeyNotFound));
        };
        if !list.verify(ci, &*self.crypto) {
            return Ok(Err(Code::InvalidSignature));
        }
        let key_id = list.authority_key_id().to_vec();
        let mut lists = self.revocation_lists()?;
        let position = lists.0.iter().position(|l| l.ci == key_id);
        let position = position.unwrap_or(lists.0.len());
        if position == lists.0.len() {
            lists.0.push(OfCi {
                ci: key_id,
                ..OfCi::default()
            });
        }
        let now = self.clock.unix_seconds();
        let missing = match lists.0[position].take(list, now) {
            Ok(missing) => missing,
            Err(code) => return Ok(Err(code)),
        };
        let record = postcard::to_allocvec(&lists).unwrap_or_default();
        let size = record.len() as u32;
        let mut next = self.store.state().clone();
        if size > self.free_memory().saturating_add(next.revocation_bytes) {
            return Ok(Err(Code::NotEnoughMemorySpace));
        }
        next.revocation_bytes = size;
        self.commit(next, &[Write::Put(Key::Revocations, &record)])?;
        Ok(Ok(missing))
    }

    fn revocation_lists(&mut self) -> Result<Lists, u16> {
        let record = self.store.nvm.get(Key::Revocations);
        match record.map_err(|error| self.memory_failed(&error))? {
            // A damaged record must not make a revoked certificate good.
            Some(bytes) => postcard::from_bytes(&bytes).map_err(|_| sw::MEMORY_FAILURE),
            None => Ok(Lists::default()),
        }
    }

    /// Has its CI revoked this certificate, as far as the card was told?
    ///
    /// # Errors
    /// 6581 when the lists can't be read.
    pub(super) fn is_revoked(&mut self, certificate: &Certificate) -> Result<bool, u16> {
        let lists = self.revocation_lists()?;
        let ci = certificate.authority_key_id().unwrap_or_default();
        let mut of_ci = lists.0.iter().filter(|l| l.ci == ci);
        Ok(of_ci.any(|l| l.has(certificate.serial_number())))
    }
}
