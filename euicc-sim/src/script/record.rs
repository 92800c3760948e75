//! `euicc-sim record`: stands between clients and a card, and writes down what both say.

use super::card::RemoteCard;
use super::format::{self, Send};
use crate::transport::Listener;
use crate::{frame, trace};
use aid_cli::cli::Failure;
use aid_cli::{private, ready};
use clap::Args;
use std::io;
use std::path::PathBuf;

/// Flags of `record`.
#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// The card: HOST:PORT or the path of a unix socket.
    #[arg(long, value_name = "ADDR")]
    socket: String,
    /// Where clients connect in its place; the real address is in the ready line.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: String,
    /// The script that is written when the last client has gone.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What happens in the session.
    #[arg(long, value_name = "TEXT", default_value = "recorded session")]
    title: String,
    /// Script that must be played before this one; repeatable.
    #[arg(long, value_name = "FILE")]
    needs: Vec<String>,
    /// How many clients come, one after another.
    #[arg(long, value_name = "N", default_value_t = 1)]
    clients: u32,
}

/// Records a session.
pub(crate) fn record(args: &RecordArgs) -> Result<(), Failure> {
    let mut card = RemoteCard::socket(&args.socket)?;
    let listener = Listener::bind(&args.listen)?;
    ready::announce("euicc-sim", &[("apdu", listener.address())])?;
    let mut steps = Vec::new();
    for _ in 0..args.clients {
        let mut client = listener.accept_one()?;
        if let Err(error) = relay(&mut client, &mut card, &mut steps) {
            return Err(Failure::new(format!(
                "the session ended early: {error}; nothing was written"
            )));
        }
    }
    drop(listener);
    let text = format::write(&args.title, &args.needs, &steps);
    let out = args.out.display();
    private::write(&args.out, text.as_bytes())
        .map_err(|e| Failure::new(format!("cannot write {out}: {e}; choose another --out")))?;
    tracing::info!(steps = steps.len(), file = %out, "recorded");
    Ok(())
}

type Steps = Vec<(Send, String, Vec<u8>)>;

fn relay(
    client: &mut (impl io::Read + io::Write),
    card: &mut RemoteCard,
    steps: &mut Steps,
) -> io::Result<()> {
    while let Some(request) = frame::read(client)? {
        match request[..] {
            [] => return Err(io::ErrorKind::InvalidData.into()),
            [frame::ATR] => {
                let atr = card.atr()?.unwrap_or_default();
                frame::write(client, &atr)?;
                steps.push((Send::Atr, "answer to reset".into(), atr));
            }
            [frame::ON | frame::RESET] => {
                card.reset()?;
                steps.push((Send::Reset, "reset".into(), Vec::new()));
            }
            [_] => {}
            _ => {
                let answer = card.transmit(&request)?;
                frame::write(client, &answer)?;
                let note = trace::command(&request);
                steps.push((Send::Apdu(request), note, answer));
            }
        }
    }
    Ok(())
}
