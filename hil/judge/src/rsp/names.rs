//! Names of the functions of ES10 by their tags (SGP.22 §5.7), for messages in reports.

/// The function of a request or response that begins with this tag.
pub(crate) fn function(tag: u32) -> Option<&'static str> {
    Some(match tag {
        0xBF20 => "ES10b.GetEUICCInfo1",
        0xBF22 => "ES10b.GetEUICCInfo2",
        0xBF2E => "ES10b.GetEUICCChallenge",
        0xBF38 => "ES10b.AuthenticateServer",
        0xBF21 => "ES10b.PrepareDownload",
        0xBF36 => "ES10b.LoadBoundProfilePackage",
        0xBF37 => "ProfileInstallationResult",
        0xBF41 => "ES10b.CancelSession",
        0xBF28 => "ES10b.ListNotification",
        0xBF2B => "ES10b.RetrieveNotificationsList",
        0xBF30 => "ES10b.RemoveNotificationFromList",
        0xBF35 => "ES10b.LoadCRL",
        0xBF43 => "ES10b.GetRAT",
        0xBF3C => "ES10a.GetEuiccConfiguredAddresses",
        0xBF3F => "ES10a.SetDefaultDpAddress",
        0xBF2D => "ES10c.GetProfilesInfo",
        0xBF31 => "ES10c.EnableProfile",
        0xBF32 => "ES10c.DisableProfile",
        0xBF33 => "ES10c.DeleteProfile",
        0xBF34 => "ES10c.eUICCMemoryReset",
        0xBF3E => "ES10c.GetEID",
        0xBF29 => "ES10c.SetNickname",
        _ => return None,
    })
}

/// The tag that these bytes begin with, if it has two bytes as all functions of ES10 have.
pub(crate) fn tag(bytes: &[u8]) -> Option<u32> {
    match bytes {
        [0xBF, second, ..] => Some(0xBF00 | u32::from(*second)),
        _ => None,
    }
}

/// One line for a command APDU.
pub(crate) fn command(apdu: &[u8]) -> String {
    let [_, ins, p1, p2] = match apdu {
        [a, b, c, d, ..] => [*a, *b, *c, *d],
        _ => return "a command of fewer than 4 bytes".to_owned(),
    };
    match ins {
        0xA4 => "SELECT".to_owned(),
        0x70 if p1 == 0 => "MANAGE CHANNEL, open".to_owned(),
        0x70 => format!("MANAGE CHANNEL, close {p2}"),
        0xC0 => "GET RESPONSE".to_owned(),
        0xAA => "TERMINAL CAPABILITY".to_owned(),
        0xE2 => {
            let name = apdu.get(5..).and_then(tag).and_then(function);
            match name.filter(|_| p2 == 0) {
                Some(name) => format!("STORE DATA {name}"),
                None => format!("STORE DATA block {p2}"),
            }
        }
        other => format!("INS {other:02X}"),
    }
}
