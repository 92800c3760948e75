//! The directory and the routes, attacked; `verdicts` are what becomes of a call.

mod verdicts;

use std::collections::BTreeSet;

use aid_aid1::error_code::ErrorCode;
use aid_aid1::headers::{Credentials, Headers, PartyId};
use aid_aid1::server::Shown;
use aid_id::MspToken;
use http::HeaderMap;
use proptest::prelude::*;
use uuid::Uuid;

use super::directory::{Directory, Route};
use super::operation::Operation;
use super::pair::{Pair, PairState};
use super::party::{PartyRecord, Role};
use super::proof::Proof;
use super::token::{TokenKey, introduced};

fn id(text: &str) -> PartyId {
    text.parse().unwrap()
}

fn key(name: &str) -> Credentials {
    Credentials::api_key(&format!("key{name}")).unwrap()
}

fn record(name: &str, role: Role) -> PartyRecord {
    PartyRecord {
        id: id(name),
        role,
        name: name.into(),
        client_ids: Vec::new(),
        logo: None,
        url: format!("https://{name}.example"),
        sandbox_url: None,
        ca: None,
        common_name: vec![name.to_lowercase()],
        certificate_sha256: Vec::new(),
        proofs: vec![Proof::of(&key(name)).to_string()],
        api_key_out: Some("out1".into()),
        api_key_next: None,
        basic_out: None,
        touchpoint: None,
        redirect_domains: vec![format!("{}.example", name.to_lowercase())],
        suspended: None,
    }
}

/// MSPs m0.. and CMPs c0.., and no pairs.
fn parties(count: usize) -> Vec<PartyRecord> {
    let msps = (0..count).map(|n| record(&format!("m{n}"), Role::Msp));
    let cmps = (0..count).map(|n| record(&format!("c{n}"), Role::Cmp));
    msps.chain(cmps).collect()
}

fn pair(msp: &str, cmp: &str) -> Pair {
    Pair::new(id(msp), id(cmp))
}

fn headers(client: &str, target: &str) -> HeaderMap {
    let headers = Headers {
        request_id: Uuid::from_u128(1),
        correlation_id: Uuid::from_u128(2),
        client_id: id(client),
        target_id: id(target),
    };
    headers.to_map(&key(client))
}

fn shown(name: &str) -> Shown<'_> {
    Shown {
        common_name: Some(name),
        sha256: [7; 32],
    }
}

fn operation(name: &str) -> Operation {
    Operation::by_id(name).unwrap()
}

/// Lets a call in and routes it; the refusal as status and code.
fn call(
    directory: &Directory,
    (client, certificate): (&str, &str),
    target: &str,
    operation: Operation,
) -> Result<Route, (u16, u16)> {
    let refused = |error: aid_aid1::error_code::ApiError| {
        let error = operation.contract().refusal(error);
        (error.status.as_u16(), error.code.number())
    };
    let caller = directory
        .admit(&headers(client, target), shown(certificate))
        .map_err(refused)?;
    directory.route(&caller, operation).map_err(refused)
}

// R-1.1-1: all nine operations, each in its direction only, to the pair that the two names are.
#[test]
fn all_nine_are_routed_in_their_direction() {
    let pairs = vec![pair("m0", "c0"), pair("m0", "c1"), pair("m1", "c0")];
    let directory = Directory::new(parties(3), pairs).unwrap();
    let mut seen = 0;
    for operation in Operation::all() {
        seen += 1;
        for (msp, cmp, paired) in [
            ("m0", "c0", true),
            ("m0", "c1", true),
            ("m1", "c0", true),
            ("m1", "c1", false),
            ("m2", "c2", false),
        ] {
            let (from, to) = match operation.caller() {
                Role::Msp => (msp, cmp),
                Role::Cmp => (cmp, msp),
            };
            let route = call(&directory, (from, from), to, operation);
            if paired {
                let route = route.unwrap();
                assert_eq!(route.pair, pair(msp, cmp).id());
                let names = (&route.from, &route.to, &route.client_id, &route.target_id);
                assert_eq!(names, (&id(from), &id(to), &id(from), &id(to)));
            } else {
                assert_eq!(route.unwrap_err().1, 104, "{operation:?}");
            }
            // The other side's operation: nobody serves it there.
            let wrong = call(&directory, (to, to), from, operation).unwrap_err();
            assert_eq!(wrong.1, 104, "{operation:?}");
        }
        // Nobody and somebody that one has nothing to do with are the same answer.
        let from = match operation.caller() {
            Role::Msp => "m0",
            Role::Cmp => "c1",
        };
        let stranger = match operation.caller() {
            Role::Msp => "c2",
            Role::Cmp => "m1",
        };
        let absent = call(&directory, (from, from), "nobody", operation).unwrap_err();
        let foreign = call(&directory, (from, from), stranger, operation).unwrap_err();
        assert_eq!(absent, foreign);
        // Nor does anybody reach themselves.
        assert_eq!(
            call(&directory, (from, from), from, operation).unwrap_err(),
            absent
        );
    }
    assert_eq!(seen, 9);
}

// R-5.1-5: name, key and certificate of three different parties, in every mixture.
#[test]
fn no_party_speaks_for_another() {
    let mut all = parties(2);
    all[0].client_ids = vec![id("m0brand")];
    let directory = Directory::new(all, vec![pair("m0", "c0"), pair("m1", "c0")]).unwrap();
    let names = ["m0", "m1", "c0", "c1"];
    for client in names {
        for certificate in names {
            for credentials in names {
                let mut map = headers(client, "c0");
                map.insert("api-key", format!("key{credentials}").parse().unwrap());
                let admitted = directory.admit(&map, shown(certificate));
                let right = client == certificate && client == credentials;
                assert_eq!(
                    admitted.is_ok(),
                    right,
                    "{client} {certificate} {credentials}"
                );
                if let Err(error) = admitted {
                    assert_eq!((error.status.as_u16(), error.code.number()), (401, 104));
                }
            }
        }
    }
    // A brand of its own, with the certificate and key of the party.
    let mut map = headers("m0brand", "c0");
    map.insert("api-key", "keym0".parse().unwrap());
    let caller = directory.admit(&map, shown("m0")).unwrap();
    let route = directory.route(&caller, operation("sendMspToken")).unwrap();
    assert_eq!((route.from, route.client_id), (id("m0"), id("m0brand")));
    assert!(directory.admit(&map, shown("m1")).is_err());
    // No certificate at all, and an unknown name with whatever certificate.
    let nobody = Shown {
        common_name: None,
        sha256: [0; 32],
    };
    assert!(directory.admit(&headers("m0", "c0"), nobody).is_err());
    let refusal = directory
        .admit(&headers("who", "c0"), shown("m0"))
        .unwrap_err();
    assert_eq!(refusal.code, ErrorCode::PartyNotFound);
}

// R-1.1-1: names are rewritten only where one party knows the other under another name, and back again.
#[test]
fn names_are_rewritten_where_they_differ() {
    let mut renamed = pair("m0", "c0");
    renamed.msp_as = Some(id("Mobile1"));
    renamed.cmp_as = Some(id("CarsRUs"));
    let plain = pair("m0", "c1");
    let directory = Directory::new(parties(2), vec![renamed, plain]).unwrap();
    let out = call(
        &directory,
        ("m0", "m0"),
        "CarsRUs",
        operation("sendMspToken"),
    )
    .unwrap();
    assert_eq!((out.client_id, out.target_id), (id("Mobile1"), id("c0")));
    let back = call(
        &directory,
        ("c0", "c0"),
        "Mobile1",
        operation("sendCsimStatus"),
    )
    .unwrap();
    assert_eq!((back.client_id, back.target_id), (id("CarsRUs"), id("m0")));
    assert_eq!(out.pair, back.pair);
    // Once there is another name, the own one is not known there.
    assert!(call(&directory, ("m0", "m0"), "c0", operation("sendMspToken")).is_err());
    let plain = call(&directory, ("m0", "m0"), "c1", operation("sendMspToken")).unwrap();
    assert_eq!((plain.client_id, plain.target_id), (id("m0"), id("c1")));
}

#[test]
fn a_suspension_closes_the_pair_and_no_other() {
    for (party, closed) in [
        (None, true),
        (Some(0), true),
        (Some(2), true),
        (Some(1), false),
    ] {
        let mut all = parties(2);
        let mut first = pair("m0", "c0");
        match party {
            None => first.state = PairState::Suspended,
            // m0, m1, c0, c1
            Some(at) => all[at].suspended = Some("why".into()),
        }
        let directory = Directory::new(all, vec![first, pair("m1", "c1")]).unwrap();
        let refused = call(&directory, ("c0", "c0"), "m0", operation("sendCsimStatus"));
        assert_eq!(refused.is_err(), closed, "{party:?}");
        assert_eq!(directory.is_open(&pair("m0", "c0").id()), !closed);
        let other = call(&directory, ("c1", "c1"), "m1", operation("sendCsimStatus"));
        assert_eq!(other.is_err(), party == Some(1));
    }
    let mut sandbox = pair("m0", "c0");
    sandbox.state = PairState::Sandbox;
    let directory = Directory::new(parties(2), vec![sandbox, pair("m0", "c1")]).unwrap();
    let route = |target| call(&directory, ("m0", "m0"), target, operation("sendMspToken")).unwrap();
    assert!(route("c0").sandbox && !route("c1").sandbox);
}

#[test]
fn a_directory_has_no_contradictions() {
    let wrong = |change: fn(&mut Vec<PartyRecord>, &mut Vec<Pair>), says: &str| {
        let (mut all, mut pairs) = (parties(2), vec![pair("m0", "c0"), pair("m0", "c1")]);
        change(&mut all, &mut pairs);
        let error = Directory::new(all, pairs).unwrap_err();
        assert!(error.contains(says), "{error} / {says}");
    };
    wrong(|all, _| all[1].id = id("m0"), "twice");
    wrong(|all, _| all[1].client_ids = vec![id("c0")], "twice");
    wrong(
        |all, _| all[1].common_name = vec!["m0".into()],
        "certificate",
    );
    wrong(
        |all, _| all[1].redirect_domains = vec!["m0.example".into()],
        "redirect domain",
    );
    wrong(
        |all, _| all[1].redirect_domains = vec!["https://x".into()],
        "redirect_domains",
    );
    wrong(|all, _| all[1].proofs.clear(), "api_key_in");
    wrong(|all, _| all[1].common_name.clear(), "common_name");
    wrong(|all, _| all[1].url = "http://m1.example".into(), "https");
    wrong(
        |all, _| all[1].url = "https://m1.example/?a=b".into(),
        "query",
    );
    wrong(|all, _| all[1].api_key_out = None, "api_key_out");
    wrong(
        |all, _| all[1].touchpoint = Some("https://elsewhere.example/a".into()),
        "redirect_domains",
    );
    wrong(|_, pairs| pairs.push(pair("m0", "c0")), "twice");
    wrong(|_, pairs| pairs.push(pair("m7", "c0")), "m7");
    wrong(|_, pairs| pairs.push(pair("c0", "c1")), "role");
    wrong(
        |_, pairs| pairs[0].cmp_as = Some(id("c1")),
        "two parties as c1",
    );
    wrong(
        |_, pairs| {
            let per_second = f64::NAN;
            pairs[0].rate = Some(super::pair::PairRate {
                per_second,
                burst: 1,
            });
        },
        "rate",
    );
}

// R-5.3-2, R-1.1-1: the same token between others is another key; the spelling of a token does not matter.
#[test]
fn a_token_belongs_to_its_pair() {
    let token: MspToken = "123e4567-e89b-42d3-a456-426614174000".parse().unwrap();
    let pairs = ["m0", "m1", "m"].map(|msp| ["c0", "c1", "0/c0"].map(|cmp| (msp, cmp)));
    let keys: BTreeSet<_> = pairs
        .iter()
        .flatten()
        .filter_map(|(msp, cmp)| format!("{msp}/{cmp}").parse().ok())
        .map(|id| TokenKey::new(&id, token))
        .collect();
    assert_eq!(keys.len(), 6);
    let upper: MspToken = "123E4567-E89B-42D3-A456-426614174000".parse().unwrap();
    let own = pair("m0", "c0").id();
    assert_eq!(TokenKey::new(&own, token), TokenKey::new(&own, upper));
    let text = token.to_string();
    assert_eq!(
        introduced(format!("{{\"msp_token\":\"{text}\"}}").as_bytes()),
        Some(token)
    );
    for other in [
        "",
        "{}",
        "[]",
        "{\"msp_token\":null,\"error\":\"19: x\"}",
        "{\"msp_token\":7}",
        "{\"msp_token\":\"x\"}",
        "{\"msp_token\":\"123e4567-e89b-42d3-a456-426614174000\",\"msp_token\":null}",
    ] {
        assert_eq!(introduced(other.as_bytes()), None, "{other}");
    }
}

proptest! {
    /// Whatever comes in, a route never leads out of the pairs of its caller.
    #[test]
    fn no_route_leaves_the_pairs_of_its_caller(
        links in proptest::collection::btree_set((0..4_usize, 0..4_usize), 0..12),
        aliases in proptest::collection::vec(proptest::option::of("[xyz]{1,2}"), 24),
        from in 0..8_usize,
        target in prop_oneof!["[mc][0-4]", "[xyz]{1,2}"],
        which in 0..9_usize,
    ) {
        let mut pairs: Vec<Pair> =
            links.iter().map(|(m, c)| pair(&format!("m{m}"), &format!("c{c}"))).collect();
        for (pair, alias) in pairs.iter_mut().zip(aliases.chunks(2)) {
            pair.msp_as = alias[0].as_deref().map(id);
            pair.cmp_as = alias[1].as_deref().map(id);
        }
        // Names that would be ambiguous are refused as a whole.
        let Ok(directory) = Directory::new(parties(4), pairs.clone()) else {
            return Ok(());
        };
        let name = if from < 4 { format!("m{from}") } else { format!("c{}", from - 4) };
        let operation = Operation::all().nth(which).unwrap();
        let Ok(route) = call(&directory, (&name, &name), &target, operation) else {
            return Ok(());
        };
        let found = pairs.iter().find(|pair| pair.id() == route.pair).unwrap();
        let (own, other, knows) = match operation.caller() {
            Role::Msp => (&found.msp, &found.cmp, &found.cmp_as),
            Role::Cmp => (&found.cmp, &found.msp, &found.msp_as),
        };
        prop_assert_eq!(own, &id(&name));
        prop_assert_eq!(&route.to, other);
        prop_assert_eq!(&route.target_id, other);
        prop_assert_eq!(knows.as_ref().unwrap_or(other), &id(&target));
    }
}
