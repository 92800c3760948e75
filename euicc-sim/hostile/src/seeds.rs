//! Seeds: valid inputs for every target, made by the code that makes them in production.

use crate::source::Choices;
use crate::targets::apdu::step;
use crate::targets::{es9, es10, world};
use crate::world::{Plain, World, metadata, profile, two_profiles};
use crate::{Reader, one_time_key};
use aid_euicc::card::{ISDR_AID, Options};
use aid_euicc::nvm::Memory;
use aid_rsp::cert::{Revoked, time_to_der};
use aid_rsp::es10::*;
use aid_rsp::pki::CrlParams;
use aid_rsp::tlv::Writer;

/// Name of the target, and an input.
pub type Seed = (&'static str, Vec<u8>);

/// All the seeds.
#[must_use]
pub fn all() -> Vec<Seed> {
    let world = world();
    let objects = objects(world);
    let mut seeds = Vec::new();
    for (name, object) in &objects {
        seeds.push(("tlv", object.clone()));
        let number = Choices::default().byte(es10::number_of(name));
        seeds.push(("es10", number.rest(object).into_vec()));
    }
    certificates(world, &mut seeds);
    packages(&mut seeds);
    json(&objects, &mut seeds);
    sequences(&objects, &mut seeds);
    seeds
}

fn object<T: DataObject>(name: &'static str, value: &T) -> (&'static str, Vec<u8>) {
    (name, value.to_vec())
}

/// What a card, an LPA and an SM-DP+ say to each other in a life of two profiles.
fn objects(world: &World) -> Vec<(&'static str, Vec<u8>)> {
    let mut reader = Reader::new(world.card(Memory::new(), 4, Options::default()));
    let mut all = Vec::new();
    let challenge: GetEuiccChallengeResponse = reader.call(&GetEuiccChallengeRequest);
    all.push(object("GetEuiccChallengeResponse", &challenge));
    let request = world.authenticate_server(challenge.challenge);
    all.push(object("AuthenticateServerRequest", &request));
    all.push(object("ServerSigned1", request.server_signed1.value()));
    all.push(object("CtxParams1", request.ctx_params1.value()));
    let response: AuthenticateServerResponse = reader.call(&request);
    all.push(object("AuthenticateServerResponse", &response));
    let AuthenticateServerResponse::Ok(ok) = response else {
        panic!("refused");
    };
    all.push(object("EuiccSigned1", ok.euicc_signed1.value()));
    let refused: AuthenticateServerResponse = reader.call(&request);
    all.push(object("AuthenticateServerResponse", &refused));
    let mut reader = Reader::new(world.card(two_profiles(world), 5, Options::default()));
    let prepared = reader.open_session(world);
    all.push(object("PrepareDownloadResponse", &prepared));
    if let PrepareDownloadResponse::Ok { euicc_signed2, .. } = &prepared {
        all.push(object("EuiccSigned2", euicc_signed2.value()));
    }
    let prepare = world.prepare_download(&ok);
    all.push(object("PrepareDownloadRequest", &prepare));
    all.push(object("SmdpSigned2", prepare.smdp_signed2.value()));
    all.push(object("StoreMetadataRequest", &rich_metadata()));
    let cancel = CancelSessionRequest {
        transaction_id: ok.euicc_signed1.value().transaction_id,
        reason: CancelSessionReason::EndUserRejection,
    };
    all.push(object("CancelSessionRequest", &cancel));
    let iccid = metadata(2).iccid;
    let profile = ProfileIdentifier::Iccid(iccid);
    all.push(object(
        "EnableProfileRequest",
        &EnableProfileRequest {
            profile: profile.clone(),
            refresh: true,
        },
    ));
    all.push(object(
        "DisableProfileRequest",
        &DisableProfileRequest {
            profile: ProfileIdentifier::Iccid(metadata(1).iccid),
            refresh: false,
        },
    ));
    all.push(object(
        "DeleteProfileRequest",
        &DeleteProfileRequest { profile },
    ));
    let nickname = "Zweit-SIM".into();
    all.push(object(
        "SetNicknameRequest",
        &SetNicknameRequest { iccid, nickname },
    ));
    let address = "smdp.example.com".into();
    all.push(object(
        "SetDefaultDpAddressRequest",
        &SetDefaultDpAddressRequest { address },
    ));
    let list = revocation_list(world);
    let load = LoadCrlRequest::from_der(&list).expect("our own list");
    all.push(object("LoadCrlRequest", &load));
    let loaded: LoadCrlResponse = reader.call(&load);
    all.push(object("LoadCrlResponse", &loaded));
    all.push(object("LoadCrlResponse", &LoadCrlResponse::Ok(vec![2, 3])));
    for (name, request) in raw_requests() {
        all.push((name, request.clone()));
    }
    answers(&mut reader, &mut all);
    all
}

/// A part of a list that revokes a certificate.
fn revocation_list(world: &World) -> Vec<u8> {
    let revoked = Revoked {
        serial: vec![0x41; 12],
        expires: Some(1_900_000_000),
        removed: false,
    };
    let params = CrlParams {
        number: 7,
        base: None,
        part: Some((1, 2)),
        this_update: 1_800_000_000,
        entries: &[revoked],
    };
    let list = world.pki.ci.revocation_list(&params, &*world.crypto);
    list.expect("a signature")
}

fn rich_metadata() -> StoreMetadataRequest {
    StoreMetadataRequest {
        icon_type: Some(IconType::Png),
        icon: Some(vec![0x89; 40]),
        policy_rules: Some(ppr::PPR2),
        ..metadata(3)
    }
}

/// Requests of which the bytes say more than a constructor.
fn raw_requests() -> Vec<(&'static str, Vec<u8>)> {
    let raw = |tag, value: &[u8]| {
        let mut w = Writer::new();
        w.primitive(tag, value);
        w.into_vec()
    };
    vec![
        ("GetEuiccChallengeRequest", raw(0xBF2E, &[])),
        ("GetEuiccInfo1Request", raw(0xBF20, &[])),
        ("GetEuiccInfo2Request", raw(0xBF22, &[])),
        ("GetEuiccDataRequest", raw(0xBF3E, &[0x5C, 1, 0x5A])),
        ("EuiccConfiguredAddressesRequest", raw(0xBF3C, &[])),
        ("GetRatRequest", raw(0xBF43, &[])),
        ("ListNotificationRequest", raw(0xBF28, &[0x81, 2, 4, 0xF0])),
        (
            "RetrieveNotificationsListRequest",
            raw(0xBF2B, &[0xA0, 3, 0x80, 1, 0]),
        ),
        ("RetrieveNotificationsListRequest", raw(0xBF2B, &[])),
        ("NotificationSentRequest", raw(0xBF30, &[0x80, 1, 0])),
        ("ProfileInfoListRequest", raw(0xBF2D, &[])),
        (
            "ProfileInfoListRequest",
            raw(
                0xBF2D,
                &[0xA0, 3, 0x95, 1, 2, 0x5C, 5, 0x5A, 0x9F, 0x70, 0xB6, 0xB7],
            ),
        ),
        ("EuiccMemoryResetRequest", raw(0xBF34, &[0x82, 2, 5, 0xE0])),
        ("ConfigureIsdpRequest", raw(0xBF24, &[0xB8, 2, 6, 0])),
    ]
}

fn answers(reader: &mut Reader<Memory>, all: &mut Vec<(&'static str, Vec<u8>)>) {
    for (name, request) in [
        ("EuiccInfo1", &[0xBF, 0x20, 0x00][..]),
        ("EuiccInfo2", &[0xBF, 0x22, 0x00]),
        ("GetEuiccDataResponse", &[0xBF, 0x3E, 3, 0x5C, 1, 0x5A]),
        ("EuiccConfiguredAddressesResponse", &[0xBF, 0x3C, 0x00]),
        ("GetRatResponse", &[0xBF, 0x43, 0x00]),
        ("ListNotificationResponse", &[0xBF, 0x28, 0x00]),
        ("RetrieveNotificationsListResponse", &[0xBF, 0x2B, 0x00]),
        ("ProfileInfoListResponse", &[0xBF, 0x2D, 0x00]),
        ("NotificationSentResponse", &[0xBF, 0x30, 3, 0x80, 1, 0]),
    ] {
        all.push((name, reader.es10(request).expect("a seed's request")));
    }
}

fn certificates(world: &World, seeds: &mut Vec<Seed>) {
    let pki = &world.pki;
    for identity in [
        &pki.ci,
        &pki.eum,
        &pki.euicc,
        &pki.dp_auth,
        &pki.dp_pb,
        &pki.dp_tls,
    ] {
        for kind in 0..3 {
            let seed = Choices::default().byte(kind).rest(&identity.certificate);
            seeds.push(("certificate", seed.into_vec()));
        }
        seeds.push(("tlv", identity.certificate.clone()));
    }
    let list = revocation_list(world);
    for kind in [4, 5] {
        let seed = Choices::default().byte(kind).rest(&list);
        seeds.push(("certificate", seed.into_vec()));
    }
    let key = &pki.dp_auth.key;
    let signature = aid_rsp::cert::signature_to_der(&[0x85; 64]);
    let mut times = Writer::new();
    time_to_der(&mut times, 1_800_000_000);
    let mut late = Writer::new();
    time_to_der(&mut late, 4_000_000_000);
    for bytes in [
        &key.public.to_spki()[..],
        &key.private.to_pkcs8_der(&key.public),
        key.private.to_pkcs8_pem(&key.public).as_bytes(),
        &signature,
        &times.into_vec(),
        &late.into_vec(),
    ] {
        let seed = Choices::default().byte(3).rest(bytes);
        seeds.push(("certificate", seed.into_vec()));
    }
}

fn packages(seeds: &mut Vec<Seed>) {
    let commands = [0xB0, 0, 0, 0, 0, 0xF2, 0, 0, 0, 0];
    for (size, n) in [(255, 1), (100, 2)] {
        let seed = Choices::default().byte(size).short(&commands);
        seeds.push(("saip", seed.rest(&profile(n)).into_vec()));
    }
    let edits = |options| Choices::default().byte(options);
    let none = |c: Choices| c.byte(0).byte(0).byte(0).byte(0).word(0);
    for options in 0..4 {
        seeds.push(("bpp", none(edits(options)).into_vec()));
    }
    seeds.push(("bpp", none(edits(4).byte(20)).into_vec()));
    let ppk_in_parts = edits(7).byte(200).byte(0).byte(0).byte(0).byte(0).word(255);
    seeds.push(("bpp", ppk_in_parts.into_vec()));
    // One edit of the profile elements, one of the protected package.
    let inside = edits(0)
        .byte(0)
        .byte(0)
        .byte(1)
        .byte(0)
        .word(40)
        .short(b"\x01");
    seeds.push(("bpp", inside.byte(0).word(0).into_vec()));
    let outside = edits(0).byte(0).byte(0).byte(0).byte(1).byte(0).word(400);
    seeds.push(("bpp", outside.short(b"\x01").word(0).into_vec()));
}

fn json(objects: &[(&'static str, Vec<u8>)], seeds: &mut Vec<Seed>) {
    use aid_rsp::es9::Base64;
    let base64 = |bytes: &[u8]| {
        let field = Base64::<65_536>::new(bytes.to_vec()).expect("short enough");
        serde_json::to_string(&field).expect("a string")
    };
    let of = |name: &str| {
        let found = objects.iter().find(|o| o.0 == name);
        base64(&found.unwrap_or_else(|| panic!("no {name}")).1)
    };
    let header = r#""header":{"functionExecutionStatus":{"status":"Executed-Success"}}"#;
    let failed = r#"{"header":{"functionExecutionStatus":{"status":"Failed","statusCodeData":{"subjectCode":"8.1","reasonCode":"6.1","message":"no","subjectIdentifier":"x"}}}}"#;
    let request = r#""header":{"functionRequesterIdentifier":"1.2","functionCallIdentifier":"c"}"#;
    let signature = base64(&[0x5F, 0x37, 1, 1]);
    let texts = [
        format!(
            r#"{{{header},"transactionId":"A1","serverSigned1":{},"serverSignature1":{signature},"euiccCiPKIdToBeUsed":{signature},"serverCertificate":{signature}}}"#,
            of("ServerSigned1")
        ),
        format!(
            r#"{{{header},"transactionId":"A1","profileMetadata":{},"smdpSigned2":{},"smdpSignature2":{signature},"smdpCertificate":{signature}}}"#,
            of("StoreMetadataRequest"),
            of("SmdpSigned2")
        ),
        format!(r#"{{{header},"transactionId":"A1","boundProfilePackage":{signature}}}"#),
        failed.into(),
        format!(
            r#"{{"euiccChallenge":{signature},"euiccInfo1":{},"smdpAddress":"smdp.example.com"}}"#,
            of("EuiccInfo1")
        ),
        format!(
            r#"{{"transactionId":"A1","authenticateServerResponse":{}}}"#,
            of("AuthenticateServerResponse")
        ),
        format!(
            r#"{{"transactionId":"A1","prepareDownloadResponse":{}}}"#,
            of("PrepareDownloadResponse")
        ),
        format!(r#"{{"pendingNotification":{signature}}}"#),
        format!(r#"{{"transactionId":"A1","cancelSessionResponse":{signature}}}"#),
        format!(r#"{{{request},"eid":"89049032123451234512345678901235","profileType":"t"}}"#),
        format!(
            r#"{{{request},"iccid":"8988123456789012345","matchingId":"M","confirmationCode":"1","smdsAddress":"a","releaseFlag":true}}"#
        ),
        format!(
            r#"{{{request},"iccid":"8988123456789012345","finalProfileStatusIndicator":"Available"}}"#
        ),
        format!(r#"{{{request},"iccid":"8988123456789012345"}}"#),
        format!(
            r#"{{{request},"iccid":"8988123456789012345","profileType":"t","timestamp":"2026-11-25T00:00:00Z","notificationPointId":4,"notificationPointStatus":{{"status":"Executed-Success"}}}}"#
        ),
    ];
    for (number, text) in (0u8..).zip(&texts) {
        let seed = Choices::default().byte(number).rest(text.as_bytes());
        seeds.push(("es9", seed.into_vec()));
    }
    let world = world();
    let mut reader = Reader::new(world.card(Memory::new(), 6, Options::default()));
    let prepared = reader.open_session(world);
    let plain = Plain {
        elements: vec![0xA0; 300],
        segment: 100,
        own_keys: true,
        ..Plain::of(1)
    };
    let package = world.bind(&prepared, &one_time_key(world), &plain);
    let seed = Choices::default().byte(es9::PACKAGE).rest(&package);
    seeds.push(("es9", seed.into_vec()));
}

fn command(c: Choices, header: [u8; 4], data: &[u8], le: u8) -> Choices {
    c.byte(step::WHOLE).rest(&header).short(data).byte(le)
}

fn sequences(objects: &[(&'static str, Vec<u8>)], seeds: &mut Vec<Seed>) {
    for (name, object) in objects {
        if name.ends_with("Request") && *name != "AuthenticateServerRequest" {
            let seed = Choices::default().byte(step::ES10).long(object);
            seeds.push(("apdu", seed.into_vec()));
        }
    }
    let start = Choices::default;
    let usim = |c: Choices| c.byte(step::APPLICATION).byte(0).byte(1);
    let files = command(usim(start()), [0, 0xA4, 0, 4], &[0x6F, 0x07], 1);
    let files = command(files, [0, 0xB0, 0, 0], &[], 1);
    let files = command(files, [0, 0xF2, 0, 0], &[], 1);
    let files = command(files, [0, 0xA4, 8, 4], &[0x7F, 0xFF, 0x6F, 0x3C], 1);
    let files = command(files, [0, 0xB2, 1, 4], &[], 1);
    let files = command(files, [0, 0xDC, 1, 4], &[0; 176], 0);
    let files = command(files, [0, 0xA2, 1, 4], &[0xFF], 1);
    seeds.push(("apdu", files.into_vec()));
    let pins = command(usim(start()), [0, 0x20, 0, 1], b"0000\xFF\xFF\xFF\xFF", 0);
    let pins = command(pins, [0, 0x28, 0, 1], b"0000\xFF\xFF\xFF\xFF", 0);
    let pins = command(
        pins,
        [0, 0x24, 0, 1],
        b"0000\xFF\xFF\xFF\xFF1234\xFF\xFF\xFF\xFF",
        0,
    );
    let pins = command(pins, [0, 0x20, 0, 0x81], b"9999\xFF\xFF\xFF\xFF", 0);
    let pins = command(pins, [0, 0x2C, 0, 1], b"123456781234\xFF\xFF\xFF\xFF", 0);
    let pins = command(pins, [0, 0x20, 0, 0x0A], b"55555555", 0);
    let pins = command(pins, [0, 0xD6, 0x86, 0], &[0x6F], 0);
    seeds.push(("apdu", pins.into_vec()));
    let mut challenge = [16; 34];
    challenge[17] = 16;
    let keys = command(usim(start()), [0, 0x88, 0, 0x81], &challenge, 1);
    let keys = command(keys, [0, 0x88, 0, 0x80], &challenge[..17], 1);
    seeds.push(("apdu", keys.into_vec()));
    let channels = command(start(), [0, 0x70, 0, 0], &[], 1);
    let channels = command(channels, [2, 0xA4, 4, 4], &ISDR_AID, 1);
    let channels = command(channels, [0x82, 0xE2, 0x91, 0], &[0xBF, 0x22, 0x00], 1);
    let channels = command(channels, [0, 0x70, 0x80, 2], &[], 0);
    let channels = command(channels, [0, 0xA4, 4, 4], &aid_euicc::card::ECASD_AID, 1);
    let channels = command(channels, [0, 0xCA, 0, 0x5A], &[], 1);
    seeds.push(("apdu", channels.into_vec()));
    let toolkit = command(start(), [0x80, 0xAA, 0, 0], &[0xA9, 3, 0x83, 1, 7], 0);
    let toolkit = command(toolkit, [0x80, 0x10, 0, 0], &[0xFF; 20], 0);
    let toolkit = command(toolkit, [0x80, 0x12, 0, 0], &[], 1);
    let toolkit = command(
        toolkit,
        [0x80, 0x14, 0, 0],
        &[0x81, 3, 1, 1, 4, 0x82, 2, 0x82, 0x81, 0x83, 1, 0],
        0,
    );
    seeds.push(("apdu", toolkit.into_vec()));
    let session = start().byte(step::AUTHENTICATE).byte(step::PREPARE);
    let session = session.byte(step::LOAD).byte(3);
    seeds.push(("apdu", session.clone().byte(step::RESET).into_vec()));
    let again = session.byte(step::AUTHENTICATE).byte(step::PREPARE);
    let loaded = again.byte(step::LOAD).byte(255);
    seeds.push(("apdu", loaded.into_vec()));
    let cut = start().byte(step::CUT).byte(0).byte(0);
    let cut = cut
        .rest(&[0x81, 0xE2, 0x91, 0])
        .short(&[0xBF, 0x3F, 3, 0x80, 1, b'a'])
        .byte(0);
    seeds.push((
        "apdu",
        cut.rest(&[0, 0xF2, 0, 0]).byte(0).byte(1).into_vec(),
    ));
}
