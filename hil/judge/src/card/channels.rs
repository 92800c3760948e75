//! Commands, logical channels and chains of STORE DATA: SGP.22 §5.7.1, §5.7.2; ETSI TS 102 221 §10.1, §11.1.17;
//! ISO/IEC 7816-4 §5.1, §12.1.

use super::{Rig, with_commands};
use crate::rsp::findings::{Checked, hexed, must, same};
use crate::rsp::table;
use crate::test::{Finding, always};
use aid_rsp::es10::{DataObject, GetEuiccDataRequest, GetEuiccDataResponse};
use aid_rsp::tlv::Tlv;

/// AID of the ISD-R (SGP.22 §2.4.5).
const ISDR: [u8; 16] = aid_lpa::ISDR_AID;

table! { Rig;
    "SGP22-5.7.1/select" [] ["4.2.1"] "SGP.22 §5.7.1" Must, with_commands, select,
        "SELECT of the ISD-R answers its FCI with the template E0 and the version in it.";
    "SGP22-5.7.2/unknown-function" [] [] "SGP.22 §5.7.2" Must, always, unknown_function,
        "STORE DATA with a function that SGP.22 does not have is refused by a status word.";
    "SGP22-5.7.2/truncated" [] [] "SGP.22 §5.7.2" Must, always, truncated,
        "STORE DATA with a data object that ends too early is refused by a status word.";
    "SGP22-5.7.2/segmented" [] [] "SGP.22 §5.7.2" Must, with_commands, segmented,
        "A request in several STORE DATA blocks is answered after the last one, as in a single block.";
    "SGP22-5.7.2/long-answer" [] [] "SGP.22 §5.7.2" Must, always, long_answer,
        "A long response arrives whole, by 61xx and GET RESPONSE or at once.";
    "SGP22-5.7.2/other-application" [] [] "SGP.22 §5.7.2" Must, with_commands, other_application,
        "STORE DATA on the basic channel, where the ISD-R is not selected, is not executed.";
    "ISO7816-4-5.1/unknown-instruction" [] [] "ISO/IEC 7816-4 §5.1.3" Must, with_commands, unknown_instruction,
        "An instruction that no standard has is answered with 6D00, 6E00 or 68xx.";
    "TS102221-11.1.17/two-channels" [] [] "ETSI TS 102 221 §11.1.17" Must, with_commands, two_channels,
        "Two logical channels have different numbers, and the ISD-R answers on both.";
    "TS102221-11.1.17/closed" [] [] "ETSI TS 102 221 §11.1.17" Must, with_commands, closed,
        "A logical channel that was closed takes no command.";
    "TS102221-11.1.17/reset-closes" [] [] "ETSI TS 102 221 §11.1.17" Must, with_commands, reset_closes,
        "After a reset no logical channel is open.";
}

/// The class byte of a channel with the bits of `base`, 00 or 80 (ISO/IEC 7816-4 §5.4.1).
const fn class(channel: u8, base: u8) -> u8 {
    match channel {
        0..=3 => base | channel,
        _ => base | 0x40 | (channel - 4),
    }
}

/// A single command with all of its answer.
fn whole(rig: &mut Rig, apdu: &[u8]) -> Checked<(Vec<u8>, u16)> {
    let (mut data, mut sw) = rig.command(apdu)?;
    let mut rounds = 0;
    while sw & 0xFF00 == 0x6100 && rounds < 2048 {
        let get = [apdu[0] & 0x7F, 0xC0, 0, 0, sw as u8];
        let (more, next) = rig.command(&get)?;
        data.extend_from_slice(&more);
        sw = match next & 0xFF00 {
            0x6C00 => 0x6100 | next & 0xFF,
            _ => next,
        };
        rounds += 1;
    }
    Ok((data, sw))
}

fn select_on(rig: &mut Rig, channel: u8) -> Checked<(Vec<u8>, u16)> {
    let mut select = vec![class(channel, 0), 0xA4, 0x04, 0x00, ISDR.len() as u8];
    let isdr = rig.target.euicc.isdr().ok().flatten();
    let aid = isdr.unwrap_or_else(|| ISDR.to_vec());
    select[4] = aid.len() as u8;
    select.extend_from_slice(&aid);
    select.push(0);
    whole(rig, &select)
}

fn get_eid_on(rig: &mut Rig, channel: u8) -> Checked<(Vec<u8>, u16)> {
    let request = GetEuiccDataRequest.to_vec();
    let mut apdu = vec![class(channel, 0x80), 0xE2, 0x91, 0x00, request.len() as u8];
    apdu.extend_from_slice(&request);
    apdu.push(0);
    whole(rig, &apdu)
}

fn is_success(sw: u16) -> bool {
    matches!(sw, 0x9000 | 0x9100..=0x91FF)
}

fn select(rig: &mut Rig) -> Checked {
    let channel = rig.open_channel()?;
    let (fci, sw) = select_on(rig, channel)?;
    must(is_success(sw), "SELECT ISD-R: status word 9000", || {
        format!("status word {sw:04X}")
    })?;
    let template = Tlv::parse_tag(&fci, 0x6F)
        .map_err(|e| Finding::broken("SELECT ISD-R: an FCI template (6F)", e.to_string()))?;
    let application = template.children().find(0xE0).ok().flatten();
    let application = application.ok_or_else(|| {
        Finding::broken(
            "SELECT ISD-R: ISDRProprietaryApplicationTemplate (E0) in the FCI",
            hexed(&fci),
        )
    })?;
    let svn = application.children().find(0x82).ok().flatten();
    let version = svn.and_then(|t| t.array::<3>().ok());
    must(
        version.is_some_and(|v| v[0] >= 2),
        "ISDRProprietaryApplicationTemplate: svn (82) of three bytes, 2.0.0 or later",
        || hexed(application.value),
    )
}

fn unknown_function(rig: &mut Rig) -> Checked {
    // BF7E is in no edition of RSPDefinitions.
    match rig.try_request("an unknown function", &[0xBF, 0x7E, 0x00])? {
        Err(_) => Ok(()),
        Ok(answer) => Err(Finding::broken(
            "a status word that refuses the unknown function BF7E (6A88, 6A80, 6D00, 6985)",
            format!("9000 with {}", hexed(&answer)),
        )),
    }
}

fn truncated(rig: &mut Rig) -> Checked {
    let whole = GetEuiccDataRequest.to_vec();
    let cut = &whole[..whole.len() - 2];
    match rig.try_request("a truncated request", cut)? {
        Err(_) => Ok(()),
        // Some answer with the function's error code instead of a status word.
        Ok(answer) if GetEuiccDataResponse::from_slice(&answer).is_err() => Ok(()),
        Ok(answer) => Err(Finding::broken(
            "a refusal of GetEuiccDataRequest without its last two bytes",
            format!("the response {}", hexed(&answer)),
        )),
    }
}

fn segmented(rig: &mut Rig) -> Checked {
    let channel = rig.open_channel()?;
    let (expected, _) = get_eid_on(rig, channel)?;
    let request = GetEuiccDataRequest.to_vec();
    for size in 1..request.len() {
        let last = request.chunks(size).count() - 1;
        for (n, block) in request.chunks(size).enumerate() {
            let p1 = if n == last { 0x91 } else { 0x11 };
            let mut apdu = vec![class(channel, 0x80), 0xE2, p1, n as u8, block.len() as u8];
            apdu.extend_from_slice(block);
            if n == last {
                apdu.push(0);
            }
            let (data, sw) = whole(rig, &apdu)?;
            must(
                is_success(sw),
                "STORE DATA in blocks: status word 9000 to each block",
                || format!("status word {sw:04X} to block {n} of {} bytes", block.len()),
            )?;
            let wanted: &[u8] = if n == last { &expected } else { &[] };
            same(
                "STORE DATA in blocks: the response after the last block only",
                wanted,
                &data,
            )?;
        }
    }
    Ok(())
}

fn long_answer(rig: &mut Rig) -> Checked {
    let answer = rig.request("GetEUICCInfo2", &[0xBF, 0x22, 0x00])?;
    Tlv::parse_tag(&answer, 0xBF22)
        .map(drop)
        .map_err(|e| Finding::broken("EUICCInfo2 as one whole data object", e.to_string()))
}

fn other_application(rig: &mut Rig) -> Checked {
    rig.open_channel()?;
    let (data, sw) = get_eid_on(rig, 0)?;
    must(
        !data.starts_with(&[0xBF, 0x3E]),
        "STORE DATA GetEID on the basic channel: not executed",
        || format!("{} {sw:04X}", hexed(&data)),
    )
}

fn unknown_instruction(rig: &mut Rig) -> Checked {
    let channel = rig.open_channel()?;
    let (data, sw) = rig.command(&[class(channel, 0x80), 0x02, 0x00, 0x00, 0x00])?;
    must(
        data.is_empty() && matches!(sw & 0xFF00, 0x6D00 | 0x6E00 | 0x6800),
        "an unknown instruction (02): 6D00",
        || format!("{} {sw:04X}", hexed(&data)),
    )
}

fn open_another(rig: &mut Rig) -> Checked<u8> {
    let (data, sw) = whole(rig, &[0x00, 0x70, 0x00, 0x00, 0x01])?;
    match (&data[..], sw) {
        ([channel @ 1..=19], 0x9000) => Ok(*channel),
        (_, 0x6A81 | 0x6881 | 0x6A84) => Err(Finding::Lacking(
            "the card has no second logical channel free; reset it and repeat".to_owned(),
        )),
        _ => Err(Finding::broken(
            "MANAGE CHANNEL, open: the number of a channel, 1 to 19, and 9000",
            format!("{} {sw:04X}", hexed(&data)),
        )),
    }
}

fn close(rig: &mut Rig, channel: u8) -> Checked {
    let (_, sw) = whole(rig, &[0x00, 0x70, 0x80, channel])?;
    must(is_success(sw), "MANAGE CHANNEL, close: 9000", || {
        format!("status word {sw:04X}")
    })
}

fn two_channels(rig: &mut Rig) -> Checked {
    let first = rig.open_channel()?;
    let second = open_another(rig)?;
    let checked = (|| {
        must(
            first != second,
            "a second logical channel with another number",
            || format!("channel {second} twice"),
        )?;
        select_on(rig, second)?;
        for channel in [first, second, first] {
            let (data, sw) = get_eid_on(rig, channel)?;
            must(
                data.starts_with(&[0xBF, 0x3E]) && is_success(sw),
                "GetEID on each of two logical channels",
                || format!("{} {sw:04X} on channel {channel}", hexed(&data)),
            )?;
        }
        Ok(())
    })();
    let closed = close(rig, second);
    checked.and(closed)
}

fn closed(rig: &mut Rig) -> Checked {
    rig.open_channel()?;
    let channel = open_another(rig)?;
    select_on(rig, channel)?;
    close(rig, channel)?;
    refuses(
        rig,
        channel,
        "a command on a logical channel that was closed",
    )
}

fn reset_closes(rig: &mut Rig) -> Checked {
    let channel = rig.open_channel()?;
    rig.reset()?;
    refuses_or_is_empty(rig, channel)
}

fn refuses(rig: &mut Rig, channel: u8, what: &str) -> Checked {
    let (data, sw) = get_eid_on(rig, channel)?;
    must(
        data.is_empty() && !is_success(sw),
        &format!("{what}: refused (6881)"),
        || format!("{} {sw:04X}", hexed(&data)),
    )
}

/// A program that shares the card may have opened the channel again; the ISD-R is not selected on it by us.
fn refuses_or_is_empty(rig: &mut Rig, channel: u8) -> Checked {
    let (data, sw) = get_eid_on(rig, channel)?;
    match data.starts_with(&[0xBF, 0x3E]) && is_success(sw) {
        false => Ok(()),
        true => Err(Finding::Odd(format!(
            "channel {channel} is open with the ISD-R selected right after a reset; another program may share the card"
        ))),
    }
}
