//! Recording of APDUs for Wireshark: GSMTAP (type SIM) in UDP in IPv4 in a pcap file, one packet for each exchange, the
//! command followed by its answer, as SIM tracers write it.

use etherparse::PacketBuilder;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

/// UDP port of GSMTAP (IANA).
const GSMTAP_PORT: u16 = 4729;
/// Type of GSMTAP for SIM traffic.
const GSMTAP_TYPE_SIM: u8 = 0x04;
/// Bytes of APDUs that one UDP packet carries beside IPv4, UDP and GSMTAP headers.
const MAX_PAYLOAD: usize = 65_535 - 20 - 8 - 16;

/// Magic number of a pcap file with microseconds, then its version, 2.4.
const MAGIC: u32 = 0xA1B2_C3D4;
/// Most bytes of a packet that the file holds.
const SNAPLEN: u32 = 262_144;
/// Packets begin with an IP header (LINKTYPE_RAW).
const LINKTYPE_RAW: u32 = 101;

/// A file that APDUs are written to.
#[derive(Debug)]
pub struct Pcap {
    file: File,
}

impl Pcap {
    /// Creates the file; one that exists is overwritten. It is its owner's alone where the process's umask says so: APDUs
    /// carry PINs and identities.
    ///
    /// # Errors
    /// It can't be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut file = File::create(path)?;
        let mut header = MAGIC.to_le_bytes().to_vec();
        header.extend_from_slice(&[2, 0, 4, 0]);
        // Time zone and accuracy of the times are always 0.
        header.extend_from_slice(&[0; 8]);
        header.extend_from_slice(&SNAPLEN.to_le_bytes());
        header.extend_from_slice(&LINKTYPE_RAW.to_le_bytes());
        file.write_all(&header)?;
        Ok(Self { file })
    }

    /// Writes a C-APDU and its R-APDU; `at` is the time since 1970. Where the two do not fit into a packet, the end of
    /// the data is left out, and the status stays.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn record(&mut self, command: &[u8], answer: &[u8], at: Duration) -> io::Result<()> {
        let apdus = payload(command, answer);
        let mut gsmtap = vec![0x02, 0x04, GSMTAP_TYPE_SIM];
        gsmtap.resize(16, 0);
        gsmtap.extend_from_slice(&apdus);
        let builder =
            PacketBuilder::ipv4([127, 0, 0, 1], [127, 0, 0, 1], 64).udp(GSMTAP_PORT, GSMTAP_PORT);
        let length = builder.size(gsmtap.len());
        let mut record = Vec::with_capacity(16 + length);
        for field in [
            at.as_secs() as u32,
            at.subsec_micros(),
            length as u32,
            length as u32,
        ] {
            record.extend_from_slice(&field.to_le_bytes());
        }
        builder
            .write(&mut record, &gsmtap)
            .map_err(io::Error::other)?;
        // One call, so that a program that is killed leaves whole packets.
        self.file.write_all(&record)
    }
}

/// Command and answer one after the other. Le at the end of a command with data is no part of what T=0 carries, which
/// the dissectors expect.
fn payload(command: &[u8], answer: &[u8]) -> Vec<u8> {
    let command = match command {
        [_, _, _, _, lc, data @ ..] if data.len() == usize::from(*lc) + 1 => {
            &command[..command.len() - 1]
        }
        // A command without data and Le gets P3, 00.
        [_, _, _, _] => &[command, &[0]].concat(),
        other => other,
    };
    let room = MAX_PAYLOAD.saturating_sub(command.len() + 2);
    let (data, status) = answer.split_at(answer.len().saturating_sub(2));
    [command, &data[..data.len().min(room)], status].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_written_as_t0_carries_them() {
        let ok = [0x90, 0x00];
        assert_eq!(payload(&[0, 0xA4, 0, 4], &ok), [0, 0xA4, 0, 4, 0, 0x90, 0]);
        assert_eq!(
            payload(&[0, 0x70, 0, 0, 1], &[1, 0x90, 0]),
            [0, 0x70, 0, 0, 1, 1, 0x90, 0]
        );
        assert_eq!(
            payload(&[0, 0xA4, 4, 0, 2, 0xA0, 0xA1, 0], &[0x61, 9]),
            [0, 0xA4, 4, 0, 2, 0xA0, 0xA1, 0x61, 9]
        );
        assert_eq!(
            payload(&[0x80, 0xE2, 0x11, 0, 1, 7], &ok),
            [0x80, 0xE2, 0x11, 0, 1, 7, 0x90, 0]
        );
        let long = [&vec![3; 65_536][..], &ok].concat();
        let whole = payload(&[0x80, 0xE2, 0x91, 0, 1, 7, 0], &long);
        assert_eq!(whole.len(), MAX_PAYLOAD);
        assert!(whole.ends_with(&ok));
    }
}
