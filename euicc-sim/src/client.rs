//! `euicc-sim apdu`: sends what people type, prints what the card says.

use crate::frame;
use aid_cli::cli::{self, Failure};
use std::io;

/// One request for the card: its payload, and whether an answer comes.
fn payload(text: &str) -> Result<(Vec<u8>, bool), Failure> {
    match text {
        "reset" => return Ok((vec![frame::RESET], false)),
        "atr" => return Ok((vec![frame::ATR], true)),
        _ => {}
    }
    let digits: String = text.split([' ', ':']).collect();
    match hex::decode(&digits) {
        Ok(apdu) if (4..=0xFFFF).contains(&apdu.len()) => Ok((apdu, true)),
        Ok(apdu) => Err(Failure::usage(format!(
            "{text:?} has {} bytes; an APDU has at least 4",
            apdu.len()
        ))),
        Err(e) => Err(Failure::usage(format!(
            "{text:?} is no APDU: {e}; write hexadecimal digits"
        ))),
    }
}

/// Sends the APDUs one after another.
pub(crate) fn run(socket: &str, apdus: &[String]) -> Result<(), Failure> {
    let requests = apdus
        .iter()
        .map(|text| payload(text))
        .collect::<Result<Vec<_>, _>>()?;
    let mut card = frame::connect(socket)?;
    let lost = |e: io::Error| Failure::new(format!("the card at {socket} is gone: {e}"));
    for (request, answered) in requests {
        frame::write(&mut card, &request).map_err(lost)?;
        if answered {
            let answer = frame::read(&mut card).map_err(lost)?;
            let answer = answer.ok_or_else(|| lost(io::ErrorKind::UnexpectedEof.into()))?;
            cli::print(&format!("{}\n", hex::encode_upper(answer)))?;
        }
    }
    Ok(())
}
