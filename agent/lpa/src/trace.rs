//! What `--trace` shows: every APDU and every ES9+ message on one line, contents as lengths.

const TARGET: &str = aid_cli::cli::TRACE;

pub(crate) fn command(what: &str, command: &[u8]) {
    if !tracing::enabled!(target: TARGET, tracing::Level::TRACE) {
        return;
    }
    let &[cla, ins, p1, p2, ..] = command else {
        return;
    };
    let length = command.len();
    if ins != 0xE2 {
        tracing::trace!(target: TARGET, "-> APDU {what} {cla:02X}{ins:02X}{p1:02X}{p2:02X}, {length} bytes");
        return;
    }
    let more = if p1 & 0x80 == 0 { ", more follow" } else { "" };
    tracing::trace!(target: TARGET, "-> APDU STORE DATA {what} block {p2}, {length} bytes{more}");
}

/// What follows after GET RESPONSE begins in the middle of a data object, so it shows no tag.
pub(crate) fn answer(what: &str, data: &[u8], sw: u16) {
    if !tracing::enabled!(target: TARGET, tracing::Level::TRACE) {
        return;
    }
    let tag = match what {
        "GET RESPONSE" | "MANAGE CHANNEL" => String::new(),
        _ => tag(data),
    };
    tracing::trace!(target: TARGET, "<- APDU {sw:04X}, {} bytes{tag}", data.len());
}

/// The tag that an answer begins with.
fn tag(data: &[u8]) -> String {
    match aid_rsp::tlv::parse_header(data) {
        Ok(Some(header)) => format!(", {:X}", header.tag),
        _ => String::new(),
    }
}

pub(crate) fn request(function: &str, server: &str, bytes: usize) {
    tracing::trace!(target: TARGET, "-> ES9+ {function} to {server}, {bytes} bytes");
}

pub(crate) fn response(function: &str, status: u16, bytes: usize) {
    tracing::trace!(target: TARGET, "<- ES9+ {function} HTTP {status}, {bytes} bytes");
}
