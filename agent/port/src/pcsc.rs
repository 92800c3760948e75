//! A card in a reader of the PC/SC daemon, through the crate `pcsc`.
//! PC/SC has no time limits: a reader that hangs is the daemon's business.

use crate::apdu::{Apdu, MAX_RESPONSE, TransportError};
use pcsc::{Card, Context, Disposition, Error, Protocol, Protocols, Scope, ShareMode};
use std::ffi::CString;
use std::io;

/// A card in a reader. Connects when needed, again after a break.
pub struct PcscCard {
    reader: Option<String>,
    card: Option<Card>,
    refreshed: bool,
}

impl std::fmt::Debug for PcscCard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PcscCard({:?})", self.reader)
    }
}

/// The readers that a name means: the one of that name, or those that have it in theirs; without a name
/// all of them.
fn meant<'a>(readers: &'a [String], wanted: Option<&str>) -> Vec<&'a str> {
    let all = || readers.iter().map(String::as_str);
    let Some(wanted) = wanted else {
        return all().collect();
    };
    match all().find(|name| *name == wanted) {
        Some(exact) => vec![exact],
        None => all().filter(|name| name.contains(wanted)).collect(),
    }
}

/// A command in the form that T=0 carries: one with data has no Le, its answer comes by GET RESPONSE.
/// ISO/IEC 7816-3 §12.2.
fn without_le(command: &[u8]) -> &[u8] {
    match command.get(4) {
        Some(lc) if *lc > 0 && command.len() == 6 + usize::from(*lc) => {
            &command[..command.len() - 1]
        }
        _ => command,
    }
}

impl PcscCard {
    /// A card in this reader, or in the only reader that has one; nothing is connected yet.
    #[must_use]
    pub fn new(reader: Option<&str>) -> Self {
        Self {
            reader: reader.map(str::to_owned),
            card: None,
            refreshed: false,
        }
    }

    fn address(&self) -> String {
        match &self.reader {
            Some(reader) => format!("pcsc:{reader}"),
            None => "pcsc".into(),
        }
    }

    fn no_card(&self, text: String) -> TransportError {
        TransportError::Connect {
            address: self.address(),
            source: io::Error::new(io::ErrorKind::NotFound, text),
        }
    }

    fn connect(&mut self) -> Result<&mut Card, TransportError> {
        let card = match self.card.take() {
            Some(card) => card,
            None => self.find()?,
        };
        Ok(self.card.insert(card))
    }

    fn find(&self) -> Result<Card, TransportError> {
        let context = Context::establish(Scope::System)
            .map_err(|e| self.no_card(format!("{e}; is pcscd running?")))?;
        let readers = match context.list_readers_owned() {
            Ok(readers) => readers,
            Err(Error::NoReadersAvailable) => Vec::new(),
            Err(error) => return Err(self.no_card(error.to_string())),
        };
        let names: Vec<String> = readers
            .iter()
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        let found = meant(&names, self.reader.as_deref());
        let there = || names.join(", ");
        if found.is_empty() {
            return Err(self.no_card(match names.is_empty() {
                true => "the PC/SC daemon has no reader".into(),
                false => format!("there is no such reader; there are: {}", there()),
            }));
        }
        if self.reader.is_some() && found.len() > 1 {
            let text = format!("several readers have that in their names: {}", there());
            return Err(self.no_card(text));
        }
        let mut cards = Vec::new();
        let mut last = Error::NoSmartcard;
        for name in &found {
            let Ok(name) = CString::new(*name) else {
                continue;
            };
            match context.connect(&name, ShareMode::Shared, Protocols::ANY) {
                Ok(card) => cards.push(card),
                Err(error) => last = error,
            }
        }
        match cards.pop() {
            Some(card) if cards.is_empty() => Ok(card),
            Some(card) => {
                // By default a card is reset when it is let go; somebody may be using these.
                for other in cards.into_iter().chain([card]) {
                    let _ = other.disconnect(Disposition::LeaveCard);
                }
                let text = format!("several readers have a card; name one of: {}", there());
                Err(self.no_card(text))
            }
            None => Err(self.no_card(format!("{last}; readers: {}", there()))),
        }
    }

    /// Another program or the card itself has reset it: the command was not passed on.
    fn was_reset(&mut self) -> TransportError {
        self.refreshed = true;
        if let Some(card) = &mut self.card {
            let again = card.reconnect(ShareMode::Shared, Protocols::ANY, Disposition::LeaveCard);
            if again.is_err() {
                self.card = None;
            }
        }
        TransportError::ChannelGone {
            address: self.address(),
            what: "the card was reset by another program".into(),
        }
    }

    fn broken(&mut self, error: Error) -> TransportError {
        self.card = None;
        self.refreshed = true;
        TransportError::Broken {
            address: self.address(),
            source: io::Error::other(error),
        }
    }
}

impl Apdu for PcscCard {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let card = self.connect()?;
        let protocol = card.status2_owned().map(|status| status.protocol2());
        let mut answer = vec![0; MAX_RESPONSE];
        let command = match protocol {
            Ok(Some(Protocol::T0)) => without_le(command),
            _ => command,
        };
        match card.transmit(command, &mut answer) {
            Ok(bytes) if bytes.len() >= 2 => Ok(bytes.to_vec()),
            Ok(bytes) => Err(TransportError::Length {
                got: bytes.len(),
                address: self.address(),
            }),
            Err(Error::ResetCard) => Err(self.was_reset()),
            Err(error) => Err(self.broken(error)),
        }
    }

    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        let card = self.connect()?;
        let how = (ShareMode::Shared, Protocols::ANY, Disposition::UnpowerCard);
        let done = card.reconnect(how.0, how.1, how.2);
        let status = done.and_then(|()| card.status2_owned());
        match status {
            Ok(status) => Ok(status.atr().to_vec()),
            Err(error) => Err(self.broken(error)),
        }
    }

    fn refreshed(&mut self) -> bool {
        std::mem::take(&mut self.refreshed)
    }

    /// A reader is no modem: nothing else performs a REFRESH.
    fn reset_after_switch(&self) -> bool {
        true
    }
}

impl Drop for PcscCard {
    fn drop(&mut self) {
        if let Some(card) = self.card.take() {
            // Others may use the card at the same time; by default it would be reset.
            let _ = card.disconnect(Disposition::LeaveCard);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_meant_by_its_name_or_a_part_of_it() {
        let readers = ["Virtual PCD 00 00", "Virtual PCD 00 01", "Alcor 00"].map(str::to_owned);
        assert_eq!(meant(&readers, Some("Alcor")), ["Alcor 00"]);
        assert_eq!(
            meant(&readers, Some("Virtual PCD 00 01")),
            ["Virtual PCD 00 01"]
        );
        assert_eq!(meant(&readers, Some("Virtual")).len(), 2);
        assert_eq!(meant(&readers, None).len(), 3);
        assert!(meant(&readers, Some("Omnikey")).is_empty());
        assert_eq!(meant(&["A".into(), "AB".into()], Some("A")), ["A"]);
    }

    #[test]
    fn le_is_left_out_where_there_is_data() {
        let cases: [(&[u8], usize); 6] = [
            (&[0, 1, 2, 3], 4),
            (&[0, 1, 2, 3, 0], 5),
            (&[0, 1, 2, 3, 1], 5),
            (&[0, 1, 2, 3, 1, 9], 6),
            (&[0, 1, 2, 3, 1, 9, 0], 6),
            (&[0, 1, 2, 3, 2, 9, 9, 0], 7),
        ];
        for (command, length) in cases {
            assert_eq!(without_le(command).len(), length, "{command:?}");
        }
    }
}
