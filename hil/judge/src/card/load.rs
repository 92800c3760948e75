//! ES10b.LoadBoundProfilePackage and the commands of ES8+ in a package: SGP.22 §2.5, §5.5, §5.7.6.

use super::installing::{
    Authenticated, Loaded, bound, by_iccid, install, install_this, load, new_profile, package,
};
use super::{Rig, with_server};
use crate::rsp::dp::{Fault, Package};
use crate::rsp::findings::{Checked, must, one_of, same};
use crate::rsp::table;
use crate::test::Finding;
use aid_rsp::crypto::Crypto as _;
use aid_rsp::es10::{
    BppCommandId as Command, DeleteResult, ErrorReason as Reason, FinalResult, NotificationEvent,
    ProfileState,
};

table! { Rig;
    "SGP22-5.7.6/installs" ["R-4.3-10"] ["4.2.11"] "SGP.22 §3.1.3.3, §5.7.6" Must, with_server, installs,
        "A good package is installed, and the profile is on the card, disabled, with its metadata.";
    "SGP22-5.7.6/result" [] ["4.2.11"] "SGP.22 §2.5.6" Must, with_server, result,
        "ProfileInstallationResult has transactionId, OID, ISD-P and notification, signed by the eUICC.";
    "SGP22-5.7.6/interrupted" [] [] "SGP.22 §3.1.3.3" Must, with_server, interrupted,
        "A package that is cut off by a reset leaves nothing behind, and the next one is installed.";
    "SGP22-5.7.6/no-session" [] [] "SGP.22 §5.5.1, §5.7.6" Must, with_server, no_session,
        "A package without a session is not installed.";
    "SGP22-5.7.6/replayed" [] [] "SGP.22 §5.7.6" Must, with_server, replayed,
        "A package that was installed and deleted can't be loaded once more.";
    "SGP22-5.5.1/flipped-signature" [] ["4.2.3"] "SGP.22 §5.5.1" Must, with_server, flipped_signature,
        "A smdpSign with one bit changed ends with invalidSignature at initialiseSecureChannel.";
    "SGP22-5.5.1/other-transaction" [] ["4.2.3"] "SGP.22 §5.5.1" Must, with_server, other_transaction,
        "A package of another transactionId ends with invalidTransactionId.";
    "SGP22-5.5.1/key-type" [] ["4.2.3"] "SGP.22 §5.5.1" Must, with_server, key_type,
        "A key type that is not AES ends with unsupportedCrtValues.";
    "SGP22-5.5.1/operation" [] ["4.2.3"] "SGP.22 §5.5.1" Must, with_server, operation,
        "A remote operation that is not installBoundProfilePackage ends with unsupportedRemoteOperationType.";
    "SGP22-5.5.3/flipped-mac" ["R-3.2-5"] ["4.2.5"] "SGP.22 §2.5.4, §5.5.3" Must, with_server, metadata_mac,
        "Metadata whose MAC has one bit changed end with scp03tSecurityError at storeMetadata.";
    "SGP22-5.5.3/iccid-exists" [] ["4.2.5"] "SGP.22 §5.5.3" Must, with_server, exists,
        "A profile whose ICCID is on the card already is not installed again.";
    "SGP22-5.5.4/own-keys" [] ["4.2.6"] "SGP.22 §5.5.4" Must, with_server, own_keys,
        "A package with keys of its own (ReplaceSessionKeys) is installed.";
    "SGP22-5.5.5/flipped-mac" [] ["4.2.7"] "SGP.22 §2.5.4, §5.5.5" Must, with_server, element_mac,
        "A segment of profile elements whose MAC has one bit changed ends with scp03tSecurityError.";
    "SGP22-5.5.5/mismatch" [] [] "SGP.22 §5.5.5" Must, with_server, mismatch,
        "A package whose profile has another ICCID than its metadata is not installed.";
    "SGP22-5.5.5/elements" [] ["4.2.7"] "SGP.22 §5.5.5" Must, with_server, elements,
        "A package whose profile elements can't be processed is not installed.";
    "SGP22-3.5/error-result" [] [] "SGP.22 §2.5.6, §3.5" Must, with_server, error_result,
        "A failed installation is a notification with the card's signature, too.";
}

fn installs(rig: &mut Rig) -> Checked {
    let profile = install(rig)?;
    let list = rig.profiles()?;
    let found = list.iter().find(|p| p.iccid == Some(profile.iccid));
    let found = found.ok_or_else(|| {
        Finding::broken(
            "the profile in GetProfilesInfo after its installation",
            "it is not there",
        )
    })?;
    same(
        "profileState after the installation",
        &Some(ProfileState::Disabled),
        &found.state,
    )?;
    let name = Some(profile.metadata.profile_name.clone());
    same(
        "profileName as in StoreMetadata",
        &name,
        &found.profile_name,
    )?;
    let provider = Some(profile.metadata.service_provider_name.clone());
    same(
        "serviceProviderName as in StoreMetadata",
        &provider,
        &found.service_provider_name,
    )?;
    same(
        "profileClass as in StoreMetadata",
        &Some(profile.metadata.profile_class),
        &found.profile_class,
    )?;
    must(
        found.isdp_aid.is_some(),
        "the AID of the ISD-P (4F)",
        || "none".to_owned(),
    )
}

fn result(rig: &mut Rig) -> Checked {
    let profile = new_profile(rig)?;
    let Loaded::Result(result, session) = load(rig, &package(&profile))? else {
        return Err(Finding::broken("a ProfileInstallationResult", "none"));
    };
    let data = result.data.value();
    same(
        "transactionId of the result",
        &session.id,
        &data.transaction_id,
    )?;
    same(
        "OID of CERT.DPpb in the result",
        &rig.dp()?.oid,
        &data.smdp_oid,
    )?;
    same(
        "ICCID of its notification",
        &Some(profile.iccid),
        &data.notification.iccid,
    )?;
    same(
        "event of its notification",
        &NotificationEvent::Install,
        &data.notification.event,
    )?;
    same(
        "address of its notification",
        rig.address.as_str(),
        data.notification.address.as_str(),
    )?;
    let FinalResult::Success { aid, .. } = &data.result else {
        return Err(Finding::broken(
            "successResult",
            format!("{:?}", data.result),
        ));
    };
    must(
        (5..=16).contains(&aid.len()),
        "an ISD-P AID of 5 to 16 bytes",
        || format!("{aid:02X?}"),
    )?;
    let (dp, key) = (rig.dp()?, session.key()?);
    let verified = dp
        .crypto
        .verify(&key, &[result.data.bytes()], result.signature.as_bytes());
    must(
        verified.is_ok(),
        "euiccSignPIR by the key of CERT.EUICC",
        || "a signature that does not verify".to_owned(),
    )?;
    let listed = rig.new_notifications()?;
    must(
        listed.contains(&data.notification),
        "the result's notification in ListNotification",
        || format!("{listed:?}"),
    )
}

/// Loads a package that must fail, with one of these reasons, at one of these commands, and leave nothing behind.
fn fails(rig: &mut Rig, package: &Package, commands: &[Command], reasons: &[Reason]) -> Checked {
    let before = rig.profiles()?.len();
    match load(rig, package)? {
        Loaded::Result(result, _) => match &result.data.value().result {
            FinalResult::Success { .. } => {
                return Err(Finding::broken(reasons_of(reasons), "successResult"));
            }
            FinalResult::Error {
                command, reason, ..
            } => {
                one_of("errorReason", reasons, reason)?;
                if !commands.is_empty() {
                    one_of("bppCommandId", commands, command)?;
                }
            }
        },
        Loaded::Status(sw) => {
            return Err(Finding::broken(
                format!("ProfileInstallationResult with {}", reasons_of(reasons)),
                format!("status word {sw:04X}"),
            ));
        }
        Loaded::Nothing => {
            return Err(Finding::broken(
                format!("ProfileInstallationResult with {}", reasons_of(reasons)),
                "no result after the last piece",
            ));
        }
    }
    let after = rig.profiles()?.len();
    same(
        "number of profiles after an installation that failed",
        &before,
        &after,
    )
}

fn reasons_of(reasons: &[Reason]) -> String {
    let names: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    names.join(" or ")
}

fn faulty(rig: &mut Rig, fault: Fault, commands: &[Command], reasons: &[Reason]) -> Checked {
    let profile = new_profile(rig)?;
    let bad = Package {
        fault,
        ..package(&profile)
    };
    fails(rig, &bad, commands, reasons)
}

fn flipped_signature(rig: &mut Rig) -> Checked {
    let at = [Command::InitialiseSecureChannel];
    faulty(rig, Fault::Signature, &at, &[Reason::InvalidSignature])
}

fn other_transaction(rig: &mut Rig) -> Checked {
    let at = [Command::InitialiseSecureChannel];
    faulty(
        rig,
        Fault::Transaction,
        &at,
        &[Reason::InvalidTransactionId],
    )
}

fn key_type(rig: &mut Rig) -> Checked {
    let at = [Command::InitialiseSecureChannel];
    faulty(rig, Fault::KeyType, &at, &[Reason::UnsupportedCrtValues])
}

fn operation(rig: &mut Rig) -> Checked {
    let at = [Command::InitialiseSecureChannel];
    faulty(
        rig,
        Fault::Operation,
        &at,
        &[Reason::UnsupportedRemoteOperationType],
    )
}

fn metadata_mac(rig: &mut Rig) -> Checked {
    let at = [Command::StoreMetadata, Command::StoreMetadata2];
    faulty(rig, Fault::MetadataMac, &at, &[Reason::Scp03tSecurityError])
}

fn element_mac(rig: &mut Rig) -> Checked {
    let at = [Command::LoadProfileElements];
    faulty(rig, Fault::ElementMac, &at, &[Reason::Scp03tSecurityError])
}

fn exists(rig: &mut Rig) -> Checked {
    let profile = install(rig)?;
    let allowed = [Reason::IccidAlreadyExists];
    fails(rig, &package(&profile), &[], &allowed)?;
    same(
        "the profile that was there",
        &Some(ProfileState::Disabled),
        &rig.state(profile.iccid)?,
    )
}

fn own_keys(rig: &mut Rig) -> Checked {
    let profile = new_profile(rig)?;
    let package = Package {
        own_keys: true,
        ..package(&profile)
    };
    match load(rig, &package)? {
        Loaded::Result(result, _) => match &result.data.value().result {
            FinalResult::Success { .. } => Ok(()),
            FinalResult::Error {
                command, reason, ..
            } => Err(Finding::broken(
                "a package with keys of its own is installed",
                format!("{reason} at {command}"),
            )),
        },
        Loaded::Status(sw) => Err(Finding::broken("a result", format!("status word {sw:04X}"))),
        Loaded::Nothing => Err(Finding::broken("a result", "none after the last piece")),
    }
}

fn mismatch(rig: &mut Rig) -> Checked {
    let (one, other) = (new_profile(rig)?, new_profile(rig)?);
    let bad = Package {
        elements: other.elements,
        ..package(&one)
    };
    fails(
        rig,
        &bad,
        &[],
        &[Reason::DataMismatch, Reason::PeProcessingError],
    )
}

fn elements(rig: &mut Rig) -> Checked {
    let profile = new_profile(rig)?;
    // A SEQUENCE where a profile element of SAIP has a context tag.
    let bad = Package {
        elements: vec![0x30, 0x03, 0x02, 0x01, 0x00],
        ..package(&profile)
    };
    let allowed = [
        Reason::PeProcessingError,
        Reason::IncorrectInputValues,
        Reason::Scp03tStructureError,
        Reason::UnknownError,
    ];
    fails(rig, &bad, &[], &allowed)
}

fn interrupted(rig: &mut Rig) -> Checked {
    let profile = new_profile(rig)?;
    let session = Authenticated::new(rig)?;
    let prepared = session.prepared(rig)?;
    let pieces = bound(rig, prepared.value(), &package(&profile))?;
    rig.installed.push(profile.iccid);
    rig.ensure_open()?;
    for piece in pieces.iter().take(pieces.len() - 1) {
        if let Err(sw) = rig.piece(piece)? {
            return Err(Finding::broken(
                "a piece taken with 9000",
                format!("{sw:04X}"),
            ));
        }
    }
    rig.reset()?;
    let state = rig.state(profile.iccid)?;
    same(
        "a profile whose package was cut off by a reset",
        &None,
        &state,
    )?;
    install_this(rig, &profile)
}

fn no_session(rig: &mut Rig) -> Checked {
    let profile = new_profile(rig)?;
    let session = Authenticated::new(rig)?;
    let prepared = session.prepared(rig)?;
    let pieces = bound(rig, prepared.value(), &package(&profile))?;
    rig.reset()?;
    not_taken(
        rig,
        profile.iccid,
        &pieces,
        "a package after a reset, without a session",
    )
}

/// Sends pieces that must not be installed.
fn not_taken(rig: &mut Rig, iccid: [u8; 10], pieces: &[Vec<u8>], what: &str) -> Checked {
    rig.installed.push(iccid);
    rig.ensure_open()?;
    for piece in pieces {
        match rig.piece(piece)? {
            Ok(answer) if answer.is_empty() => {}
            // The card's reason is its own here; what counts is what it has installed.
            _ => break,
        }
    }
    let state = rig.state(iccid)?;
    same(&format!("{what}: not installed"), &None, &state)
}

fn replayed(rig: &mut Rig) -> Checked {
    let profile = new_profile(rig)?;
    let session = Authenticated::new(rig)?;
    let prepared = session.prepared(rig)?;
    let pieces = bound(rig, prepared.value(), &package(&profile))?;
    rig.installed.push(profile.iccid);
    rig.ensure_open()?;
    for piece in &pieces {
        if !rig.piece(piece)?.is_ok_and(|answer| answer.is_empty()) {
            break;
        }
    }
    let state = rig.state(profile.iccid)?;
    same(
        "the profile after its installation",
        &Some(ProfileState::Disabled),
        &state,
    )?;
    let deleted = rig.delete(&by_iccid(&profile))?;
    one_of("DeleteProfile", &[DeleteResult::Ok], &deleted.result)?;
    not_taken(rig, profile.iccid, &pieces, "a package loaded once more")
}

fn error_result(rig: &mut Rig) -> Checked {
    let profile = new_profile(rig)?;
    let bad = Package {
        fault: Fault::ElementMac,
        ..package(&profile)
    };
    let Loaded::Result(result, session) = load(rig, &bad)? else {
        return Err(Finding::broken("a ProfileInstallationResult", "none"));
    };
    let (dp, key) = (rig.dp()?, session.key()?);
    let verified = dp
        .crypto
        .verify(&key, &[result.data.bytes()], result.signature.as_bytes());
    must(
        verified.is_ok(),
        "euiccSignPIR of a failed installation",
        || "a signature that does not verify".to_owned(),
    )?;
    let number = result.data.value().notification.seq_number;
    let listed = rig.new_notifications()?;
    must(
        listed.iter().any(|n| n.seq_number == number),
        "the notification of a failed installation in ListNotification",
        || format!("{listed:?}"),
    )
}
