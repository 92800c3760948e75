//! Profiles made on demand: an inventory that never runs dry.

use crate::bench::{ADDRESS, Bench, NOW, OPERATOR, dp, refused};
use aid_rsp::es2::{ConfirmOrderRequest, DownloadOrderRequest};
use aid_rsp::es9::Text;
use aid_rsp::saip::{self, AkaAlgorithm, AkaConfiguration, ProfileElement};
use aid_smdp::core::{Limits, OrderState, Protection};
use aid_smdp::inventory::{Inventory, Side, load};
use aid_smdp::service::Service;
use aid_smdp::store::{Keys, KeysPlace, Store, Which};
use aid_smdp::template::{Aka, Entry, Template};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

fn entry(algorithm: Aka, count: u32) -> Entry {
    Entry {
        name: format!("{algorithm:?}"),
        profile_type: format!("Lab {algorithm:?}"),
        iccid_first: match algorithm {
            Aka::Milenage => "894901000000000000".into(),
            Aka::Tuak => "894902000000000000".into(),
        },
        imsi_first: "001010000000001".into(),
        count,
        mnc_digits: 2,
        algorithm,
        pin: "1234".into(),
        pin2: "5678".into(),
        smsp: None,
        metadata: Side {
            name: Some("Lab".into()),
            ..Side::default()
        },
    }
}

async fn bench(count: u32) -> Bench {
    let mut bench = Bench::new().await;
    let entries = [entry(Aka::Milenage, count), entry(Aka::Tuak, count)];
    let templates = Template::all(&entries, Path::new("."), "localhost", Default::default());
    let service = Arc::into_inner(bench.service).unwrap();
    bench.service = Arc::new(service.with_templates(templates.unwrap()));
    bench
}

fn wish(kind: &str) -> DownloadOrderRequest {
    DownloadOrderRequest {
        profile_type: Text::new(kind),
        ..Default::default()
    }
}

#[tokio::test]
async fn an_order_makes_the_profile_that_it_needs() {
    for algorithm in [Aka::Milenage, Aka::Tuak] {
        let bench = bench(100).await;
        let s = &bench.service;
        let wish = wish(&format!("Lab {algorithm:?}"));
        let got = s.download_order(&wish, OPERATOR, NOW).await.unwrap();
        let confirm = ConfirmOrderRequest {
            iccid: got.iccid.clone(),
            release_flag: true,
            ..Default::default()
        };
        let confirmed = s.confirm_order(&confirm, OPERATOR, NOW).await.unwrap();
        let mut card = bench.card();
        let id = confirmed.matching_id.as_str();
        let (session, bpp) = bench.download(&mut card, id).await;
        let opened = card.open(&bpp, &bench.pki.dp_pb.key.public);
        // The card has the keys that the operator's network is told.
        let made = s.store().made(got.iccid.as_str()).await.unwrap().unwrap();
        assert_eq!(opened.package, made.package);
        assert_eq!(opened.metadata.profile_name, "Lab");
        let elements = saip::elements(&opened.package).unwrap();
        let aka = elements.iter().find_map(|e| match e {
            ProfileElement::AkaParameter(_, aka) => Some(aka),
            _ => None,
        });
        let AkaConfiguration::Algorithm(parameter) = &aka.unwrap().configuration else {
            panic!("no algorithm");
        };
        let expected = match algorithm {
            Aka::Milenage => AkaAlgorithm::Milenage,
            Aka::Tuak => AkaAlgorithm::Tuak,
        };
        assert_eq!(parameter.algorithm, expected);
        assert_eq!(hex::encode_upper(&parameter.key), made.secrets.k);
        assert_eq!(hex::encode_upper(&parameter.opc), made.secrets.opc);
        bench
            .notify(card.installed(session, 1, [0x98; 10]))
            .await
            .unwrap();
        let order = s.store().order(got.iccid.as_str()).await.unwrap().unwrap();
        assert_eq!(order.state, OrderState::Installed);
        // A reading of the folder leaves profiles alone that never were in it.
        let inventory = (*s.inventory()).clone();
        s.renew(inventory, NOW).await.unwrap();
        assert!(
            s.store()
                .listed(got.iccid.as_str())
                .await
                .unwrap()
                .unwrap()
                .in_inventory
        );
    }
}

#[tokio::test]
async fn every_order_gets_a_profile_of_its_own_until_the_range_ends() {
    const COUNT: u32 = 20;
    let bench = bench(COUNT).await;
    let mut calls = Vec::new();
    for _ in 0..COUNT {
        let service = Arc::clone(&bench.service);
        let wish = wish("Lab Milenage");
        calls.push(tokio::spawn(async move {
            let got = service.download_order(&wish, OPERATOR, NOW).await;
            got.unwrap().iccid.as_str().to_owned()
        }));
    }
    let mut iccids = BTreeSet::new();
    for call in calls {
        iccids.insert(call.await.unwrap());
    }
    assert_eq!(iccids.len(), COUNT as usize);
    let s = &bench.service;
    let (mut made, mut after) = (Vec::new(), KeysPlace::default());
    loop {
        let part = s.store().keys_after(Which::All, after.clone(), 7).await;
        let part = part.unwrap();
        assert!(part.len() <= 7);
        let Some((place, _)) = part.last() else {
            break;
        };
        // What a command prints leads to the same place.
        after = place.to_string().parse().unwrap();
        made.extend(part.into_iter().map(|(_, keys)| keys));
    }
    let numbers: Vec<u32> = made.iter().map(|m| m.number).collect();
    assert_eq!(numbers, (0..COUNT).collect::<Vec<_>>());
    let template = made[0].template.clone();
    for (which, count) in [
        (Which::Template(template), COUNT),
        (Which::Template("none".into()), 0),
        (Which::Iccid(made[3].iccid.clone()), 1),
    ] {
        let part = s.store().keys_after(which, KeysPlace::default(), 100).await;
        assert_eq!(part.unwrap().len(), count as usize);
    }
    let different = |of: fn(&Keys) -> String| made.iter().map(of).collect::<BTreeSet<_>>().len();
    assert_eq!(different(|m| m.secrets.k.clone()), made.len());
    assert_eq!(different(|m| m.secrets.imsi.clone()), made.len());
    refused(
        s.download_order(&wish("Lab Milenage"), OPERATOR, NOW).await,
        ("8.2.5", "3.7"),
    );
    // One that is put back is ordered before another would be made.
    let cancel = aid_rsp::es2::CancelOrderRequest {
        header: Default::default(),
        eid: None,
        iccid: Text::new(iccids.first().unwrap()).unwrap(),
        matching_id: None,
        final_profile_status_indicator: aid_rsp::es2::FinalProfileStatus::Available,
    };
    s.cancel_order(&cancel, OPERATOR, NOW).await.unwrap();
    let again = s
        .download_order(&wish("Lab Milenage"), OPERATOR, NOW)
        .await
        .unwrap();
    assert_eq!(again.iccid, cancel.iccid);
    // What is wished by its ICCID is not made, and files of the inventory come first.
    let any = s
        .download_order(&DownloadOrderRequest::default(), OPERATOR, NOW)
        .await;
    assert_eq!(any.unwrap().iccid.as_str(), crate::bench::ICCID);
}

/// Files may have the ICCIDs of more profiles of a range than anybody would try one by one.
#[tokio::test]
async fn taken_numbers_of_a_range_are_passed_over() {
    let template = Template::all(
        &[entry(Aka::Milenage, 1_502)],
        Path::new("."),
        "localhost",
        Protection::SessionKeys,
    );
    let template = &template.unwrap()[0];
    let stock = |number| aid_smdp::core::Stock {
        iccid: template.iccid(number).unwrap(),
        file: format!("file-{number}"),
        profile_type: "taken".into(),
        name: "taken".into(),
    };
    let bench = bench(1_502).await;
    let s = &bench.service;
    let taken = (0..1_500).map(stock).collect();
    s.store().offer(taken, NOW).await.unwrap();
    for number in [1_500, 1_501] {
        let got = s.download_order(&wish("Lab Milenage"), OPERATOR, NOW).await;
        let iccid = got.unwrap().iccid;
        assert_eq!(Some(iccid.as_str()), template.iccid(number).as_deref());
    }
    let none = s.download_order(&wish("Lab Milenage"), OPERATOR, NOW).await;
    refused(none, ("8.2.5", "3.7"));
}

/// A file may get the ICCID of a profile that was made before: it is left out and reported, and the card gets the profile
/// that was ordered, at a start and while the server runs.
#[tokio::test]
async fn a_file_with_the_iccid_of_a_made_profile_is_left_out() {
    let bench = bench(10).await;
    let s = &bench.service;
    let got = s.download_order(&wish("Lab Milenage"), OPERATOR, NOW).await;
    let iccid = got.unwrap().iccid;
    let confirm = ConfirmOrderRequest {
        iccid: iccid.clone(),
        release_flag: true,
        ..Default::default()
    };
    let confirmed = s.confirm_order(&confirm, OPERATOR, NOW).await.unwrap();
    let profiles = bench.folder.path().join("profiles");
    for name in ["a", "b"] {
        let package = crate::bench::package(iccid.as_str());
        std::fs::write(profiles.join(format!("{name}.der")), package).unwrap();
    }
    let read = || load(&profiles, ADDRESS, Protection::SessionKeys).unwrap();
    let is_left_out = |inventory: &Inventory| {
        assert!(inventory.get(iccid.as_str(), None).is_none());
        assert_eq!((inventory.len(), inventory.broken().len()), (2, 2));
        for (why, file) in inventory.broken().iter().zip(["a.der", "b.der"]) {
            assert!(why.contains(file) && why.contains(iccid.as_str()), "{why}");
        }
    };
    let before = s.store().listed(iccid.as_str()).await.unwrap();
    s.renew(read(), NOW).await.unwrap();
    is_left_out(&s.inventory());
    assert_eq!(s.store().listed(iccid.as_str()).await.unwrap(), before);

    let store = Store::open(&bench.folder.path().join("smdp.db")).await;
    let limits = Limits::default();
    let started = Service::start(dp(&bench.pki), read(), store.unwrap(), limits, NOW).await;
    is_left_out(&started.unwrap().inventory());
    assert_eq!(s.store().listed(iccid.as_str()).await.unwrap(), before);

    let mut card = bench.card();
    let id = confirmed.matching_id.as_str();
    let (_, bpp) = bench.download(&mut card, id).await;
    let opened = card.open(&bpp, &bench.pki.dp_pb.key.public);
    let made = s.store().made(iccid.as_str()).await.unwrap().unwrap();
    assert_eq!(opened.package, made.package);
    // Without the files nothing is wrong any more.
    for name in ["a.der", "b.der"] {
        std::fs::remove_file(profiles.join(name)).unwrap();
    }
    s.renew(read(), NOW).await.unwrap();
    assert_eq!(s.inventory().broken().len(), 0);
}
