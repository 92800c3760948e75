//! The disk as a network block device on a unix socket (NBD, fixed newstyle), so that QEMU's writes and flushes are seen.
//!
//! A flush is answered when everything before it is on the medium, as a disk does.

use super::disk::Disk;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

/// `NBDMAGIC`, `IHAVEOPT`.
const HELLO: u64 = 0x4E42_444D_4147_4943;
const OPTION: u64 = 0x4948_4156_454F_5054;
const OPTION_REPLY: u64 = 0x0003_E889_0455_65A9;
const REQUEST: u32 = 0x2560_9513;
const REPLY: u32 = 0x6744_6698;
/// Handshake flags: fixed newstyle, no zeroes.
const FIXED: u16 = 1;
const NO_ZEROES: u16 = 2;
/// Options.
const EXPORT_NAME: u32 = 1;
const ABORT: u32 = 2;
const INFO: u32 = 6;
const GO: u32 = 7;
/// Replies to options.
const ACK: u32 = 1;
const REP_INFO: u32 = 3;
const UNSUPPORTED: u32 = 0x8000_0001;
/// Transmission flags: there are flags, FLUSH and FUA are understood.
const FLAGS: u16 = 1 | 4 | 8;
/// Commands.
const READ: u16 = 0;
const WRITE: u16 = 1;
const DISCONNECT: u16 = 2;
const FLUSH: u16 = 3;
/// Flag of a command: on the medium before the answer (forced unit access).
const FUA: u16 = 1;
/// Errors: EINVAL, ENOSPC.
const INVALID: u32 = 22;
const NO_SPACE: u32 = 28;
/// Largest option and largest read or write, bytes.
const MAX_OPTION: u32 = 4096;
const MAX_LENGTH: u32 = 32 << 20;

/// Serves one client until it goes.
pub(super) fn serve(client: &mut UnixStream, disk: &Mutex<Disk>) -> io::Result<()> {
    let size = lock(disk).len() as u64;
    match shake_hands(client, size) {
        Ok(true) => transmit(client, disk),
        Ok(false) => Ok(()),
        Err(error) => Err(error),
    }
}

fn lock(disk: &Mutex<Disk>) -> std::sync::MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

fn u16_of(client: &mut impl Read) -> io::Result<u16> {
    let mut bytes = [0; 2];
    client.read_exact(&mut bytes)?;
    Ok(u16::from_be_bytes(bytes))
}

fn u32_of(client: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    client.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

fn u64_of(client: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    client.read_exact(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("NBD: {what}"))
}

/// Negotiates; true when transmission begins.
fn shake_hands(client: &mut (impl Read + Write), size: u64) -> io::Result<bool> {
    let mut hello = Vec::new();
    hello.extend(HELLO.to_be_bytes());
    hello.extend(OPTION.to_be_bytes());
    hello.extend((FIXED | NO_ZEROES).to_be_bytes());
    client.write_all(&hello)?;
    let no_zeroes = u32_of(client)? & u32::from(NO_ZEROES) != 0;
    loop {
        if u64_of(client)? != OPTION {
            return Err(wrong("an option was expected"));
        }
        let (option, length) = (u32_of(client)?, u32_of(client)?);
        if length > MAX_OPTION {
            return Err(wrong("an option is too long"));
        }
        let mut data = vec![0; length as usize];
        client.read_exact(&mut data)?;
        match option {
            EXPORT_NAME => {
                let mut export = size.to_be_bytes().to_vec();
                export.extend(FLAGS.to_be_bytes());
                export.resize(export.len() + if no_zeroes { 0 } else { 124 }, 0);
                client.write_all(&export)?;
                return Ok(true);
            }
            INFO | GO => {
                // Of the kind "export": size and flags.
                let mut info = 0_u16.to_be_bytes().to_vec();
                info.extend(size.to_be_bytes());
                info.extend(FLAGS.to_be_bytes());
                client.write_all(&option_reply(option, REP_INFO, &info))?;
                client.write_all(&option_reply(option, ACK, &[]))?;
                if option == GO {
                    return Ok(true);
                }
            }
            ABORT => {
                client.write_all(&option_reply(option, ACK, &[]))?;
                return Ok(false);
            }
            _ => client.write_all(&option_reply(option, UNSUPPORTED, &[]))?,
        }
    }
}

fn option_reply(option: u32, kind: u32, data: &[u8]) -> Vec<u8> {
    let mut reply = OPTION_REPLY.to_be_bytes().to_vec();
    reply.extend(option.to_be_bytes());
    reply.extend(kind.to_be_bytes());
    reply.extend((data.len() as u32).to_be_bytes());
    reply.extend(data);
    reply
}

fn transmit(client: &mut (impl Read + Write), disk: &Mutex<Disk>) -> io::Result<()> {
    loop {
        if u32_of(client)? != REQUEST {
            return Err(wrong("a request was expected"));
        }
        let (flags, command) = (u16_of(client)?, u16_of(client)?);
        let (handle, at, length) = (u64_of(client)?, u64_of(client)?, u32_of(client)?);
        let (mut error, mut data) = (0, Vec::new());
        match command {
            READ if length <= MAX_LENGTH => match lock(disk).read(at, length as usize) {
                Some(bytes) => data.extend_from_slice(bytes),
                None => error = INVALID,
            },
            WRITE if length <= MAX_LENGTH => {
                let mut bytes = vec![0; length as usize];
                client.read_exact(&mut bytes)?;
                if !lock(disk).write(at, bytes, flags & FUA != 0) {
                    error = NO_SPACE;
                }
            }
            // The power goes before it is done: nothing is answered any more.
            FLUSH if lock(disk).strikes() => return io::copy(client, &mut io::sink()).map(drop),
            FLUSH => lock(disk).flush(),
            DISCONNECT => return Ok(()),
            // What follows a write that is too long can't be told from a request.
            WRITE => return Err(wrong("a write is too long")),
            _ => error = INVALID,
        }
        let mut reply = REPLY.to_be_bytes().to_vec();
        reply.extend(error.to_be_bytes());
        reply.extend(handle.to_be_bytes());
        reply.append(&mut data);
        client.write_all(&reply)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Random;
    use std::sync::Arc;

    fn request(command: u16, flags: u16, at: u64, length: u32) -> Vec<u8> {
        let mut bytes = REQUEST.to_be_bytes().to_vec();
        bytes.extend(flags.to_be_bytes());
        bytes.extend(command.to_be_bytes());
        bytes.extend(7_u64.to_be_bytes());
        bytes.extend(at.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes
    }

    fn answered(client: &mut UnixStream) -> u32 {
        assert_eq!(u32_of(client).unwrap(), REPLY);
        let error = u32_of(client).unwrap();
        assert_eq!(u64_of(client).unwrap(), 7);
        error
    }

    #[test]
    fn a_client_writes_flushes_and_reads_and_a_cut_takes_what_it_did_not_flush() {
        let disk = Arc::new(Mutex::new(Disk::new(vec![0; 4096])));
        let (mut client, mut server) = UnixStream::pair().unwrap();
        let own = Arc::clone(&disk);
        let thread = std::thread::spawn(move || serve(&mut server, &own));
        assert_eq!(u64_of(&mut client).unwrap(), HELLO);
        assert_eq!(u64_of(&mut client).unwrap(), OPTION);
        assert_eq!(u16_of(&mut client).unwrap(), FIXED | NO_ZEROES);
        client.write_all(&3_u32.to_be_bytes()).unwrap();
        // An option that we do not have, then the export.
        for (option, data) in [(8, vec![]), (GO, vec![0; 6])] {
            client.write_all(&OPTION.to_be_bytes()).unwrap();
            client.write_all(&u32::to_be_bytes(option)).unwrap();
            let length = data.len() as u32;
            client.write_all(&length.to_be_bytes()).unwrap();
            client.write_all(&data).unwrap();
        }
        let mut reply = [0; 20];
        client.read_exact(&mut reply).unwrap();
        assert_eq!(reply[12..16], UNSUPPORTED.to_be_bytes());
        let mut info = [0; 32];
        client.read_exact(&mut info).unwrap();
        assert_eq!(info[22..30], 4096_u64.to_be_bytes());
        client.read_exact(&mut reply).unwrap();
        assert_eq!(reply[12..16], ACK.to_be_bytes());

        for (at, byte, flush) in [(0, 1, true), (512, 2, false)] {
            client.write_all(&request(WRITE, 0, at, 512)).unwrap();
            client.write_all(&[byte; 512]).unwrap();
            assert_eq!(answered(&mut client), 0);
            if flush {
                client.write_all(&request(FLUSH, 0, 0, 0)).unwrap();
                assert_eq!(answered(&mut client), 0);
            }
        }
        client.write_all(&request(READ, 0, 4000, 97)).unwrap();
        assert_eq!(answered(&mut client), INVALID);
        client.write_all(&request(READ, 0, 511, 2)).unwrap();
        assert_eq!(answered(&mut client), 0);
        let mut both = [0; 2];
        client.read_exact(&mut both).unwrap();
        assert_eq!(both, [1, 2]);
        // As QEMU goes when it is killed.
        drop(client);
        assert!(thread.join().unwrap().is_err());
        let mut disk = disk.lock().unwrap();
        let lost = (0..).find(|seed| disk_after(&mut disk, *seed) == [1, 0]);
        assert!(lost.is_some());
    }

    /// The two sectors after a cut by this seed.
    fn disk_after(disk: &mut Disk, seed: u64) -> [u8; 2] {
        disk.write(512, vec![2; 512], false);
        disk.cut(&mut Random(seed));
        let at = |at| disk.read(at, 1).unwrap()[0];
        let now = [at(0), at(512)];
        disk.write(512, vec![0; 512], false);
        disk.flush();
        now
    }
}
