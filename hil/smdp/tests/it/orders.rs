//! ES2+: the life of an order, and each refusal with its codes (SGP.22 §5.3).

use crate::bench::{Bench, EID_DIGITS, ICCID, ICCID2, NOW, OPERATOR, refused};
use aid_rsp::es2::{
    CancelOrderRequest, ConfirmOrderRequest, DownloadOrderRequest, FinalProfileStatus,
    ReleaseProfileRequest,
};
use aid_rsp::es9::{RequestHeader, Text};
use aid_smdp::core::{Limits, OrderState, is_matching_id};

const OTHER_EID: &str = "89049032123451234512345678901299";

fn download(iccid: Option<&str>, kind: Option<&str>, eid: Option<&str>) -> DownloadOrderRequest {
    DownloadOrderRequest {
        header: RequestHeader::default(),
        eid: eid.and_then(Text::new),
        iccid: iccid.and_then(Text::new),
        profile_type: kind.and_then(Text::new),
    }
}

fn confirm(iccid: &str) -> ConfirmOrderRequest {
    ConfirmOrderRequest {
        iccid: Text::new(iccid).unwrap(),
        ..Default::default()
    }
}

fn release(iccid: &str) -> ReleaseProfileRequest {
    ReleaseProfileRequest {
        iccid: Text::new(iccid).unwrap(),
        ..Default::default()
    }
}

fn cancel(iccid: &str, end: FinalProfileStatus) -> CancelOrderRequest {
    CancelOrderRequest {
        header: RequestHeader::default(),
        eid: None,
        iccid: Text::new(iccid).unwrap(),
        matching_id: None,
        final_profile_status_indicator: end,
    }
}

#[tokio::test]
async fn download_order() {
    let bench = Bench::new().await;
    let s = &bench.service;
    let order = |r| async move { s.download_order(&r, OPERATOR, NOW).await };
    refused(
        order(download(Some("8949"), None, None)).await,
        ("8.2.1", "3.9"),
    );
    refused(
        order(download(None, Some("gold"), None)).await,
        ("8.2.5", "3.9"),
    );
    refused(
        order(download(Some(ICCID), Some("gold"), None)).await,
        ("8.2.5", "3.10"),
    );
    for eid in ["1", "8904903212345123451234567890123A"] {
        refused(
            order(download(None, None, Some(eid))).await,
            ("8.1.1", "2.1"),
        );
    }
    // The padding of the wire is no digit.
    let padded = format!("{ICCID}F");
    let got = order(download(Some(&padded), None, None)).await.unwrap();
    assert_eq!(got.iccid.as_str(), ICCID);
    assert_eq!(bench.stored().await.state, OrderState::Allocated);
    refused(
        order(download(Some(ICCID), None, None)).await,
        ("8.2.1", "3.3"),
    );
    let got = order(download(None, Some("aid OP"), Some(EID_DIGITS)))
        .await
        .unwrap();
    assert_eq!(got.iccid.as_str(), ICCID2);
    refused(order(download(None, None, None)).await, ("8.2.5", "3.7"));
}

#[tokio::test]
async fn a_repeated_call_orders_once() {
    let bench = Bench::new().await;
    let s = &bench.service;
    let mut request = download(None, None, Some(EID_DIGITS));
    request.header.function_requester_identifier = Text::new("1.2.3").unwrap();
    request.header.function_call_identifier = Text::new("call-1").unwrap();
    let first = s.download_order(&request, OPERATOR, NOW).await.unwrap();
    assert_eq!(
        s.download_order(&request, OPERATOR, NOW).await.unwrap(),
        first
    );
    request.header.function_call_identifier = Text::new("call-2").unwrap();
    assert_ne!(
        s.download_order(&request, OPERATOR, NOW).await.unwrap(),
        first
    );

    let mut request = confirm(first.iccid.as_str());
    request.release_flag = true;
    let first = s.confirm_order(&request, OPERATOR, NOW).await.unwrap();
    assert_eq!(
        s.confirm_order(&request, OPERATOR, NOW).await.unwrap(),
        first
    );
    request.release_flag = false;
    refused(
        s.confirm_order(&request, OPERATOR, NOW).await,
        ("8.2.1", "3.5"),
    );
}

#[tokio::test]
async fn confirm_order() {
    let bench = Bench::new().await;
    let s = &bench.service;
    let confirmed = |r| async move { s.confirm_order(&r, OPERATOR, NOW).await };
    refused(confirmed(confirm("8949")).await, ("8.2.1", "3.9"));
    refused(confirmed(confirm(ICCID)).await, ("8.2.1", "3.5"));
    let request = download(Some(ICCID), None, None);
    s.download_order(&request, OPERATOR, NOW).await.unwrap();
    let request = download(Some(ICCID2), None, Some(EID_DIGITS));
    s.download_order(&request, OPERATOR, NOW).await.unwrap();

    let with = |iccid, change: &dyn Fn(&mut ConfirmOrderRequest)| {
        let mut request = confirm(iccid);
        change(&mut request);
        request
    };
    let got = confirmed(with(ICCID2, &|r| r.eid = Text::new(OTHER_EID))).await;
    refused(got, ("8.1.1", "3.10"));
    let got = confirmed(with(ICCID, &|r| r.smds_address = Text::new("ds"))).await;
    refused(got, ("8.1.1", "2.2"));
    let got = confirmed(with(ICCID2, &|r| r.smds_address = Text::new("ds"))).await;
    refused(got, ("8.9", "5.1"));
    for bad in ["a", "A B", "A$B", "Ä"] {
        let got = confirmed(with(ICCID, &|r| r.matching_id = Text::new(bad))).await;
        refused(got, ("8.2.6", "2.1"));
    }
    let got = confirmed(with(ICCID, &|r| r.matching_id = Text::new(""))).await;
    refused(got, ("8.1.1", "2.2"));
    let got = confirmed(with(ICCID, &|r| r.matching_id = Text::new("AC-1"))).await;
    assert_eq!(got.unwrap().matching_id.as_str(), "AC-1");
    let got = confirmed(with(ICCID2, &|r| r.matching_id = Text::new("AC-1"))).await;
    refused(got, ("8.2.6", "3.3"));
    let got = confirmed(confirm(ICCID2)).await.unwrap();
    let made = got.matching_id.as_str();
    assert!(is_matching_id(made) && made.len() == 23, "{made}");
    assert_eq!(got.eid.unwrap().as_str(), EID_DIGITS);

    // Not yet released: the card is told so.
    let got = bench.authenticate(&bench.card(), Some("AC-1")).await;
    refused(got, ("8.2", "1.2"));
    s.release_profile(&release(ICCID), OPERATOR, NOW)
        .await
        .unwrap();
    s.release_profile(&release(ICCID), OPERATOR, NOW)
        .await
        .unwrap();
    let got = bench.authenticate(&bench.card(), Some("AC-1")).await;
    got.unwrap();
}

#[tokio::test]
async fn an_underscore_in_a_matching_id_is_for_those_who_ask_for_it() {
    for (underscore, wanted, refusal) in [
        (false, "A_1", Some(("8.2.6", "2.1"))),
        (false, "_", Some(("8.2.6", "2.1"))),
        (true, "A_1-B", None),
        (true, "_", None),
        (true, "a_1", Some(("8.2.6", "2.1"))),
        (true, "A_$", Some(("8.2.6", "2.1"))),
        (true, "A_ ", Some(("8.2.6", "2.1"))),
        (true, "", Some(("8.1.1", "2.2"))),
    ] {
        let bench = Bench::with_limits(Limits {
            matching_id_underscore: underscore,
            ..Limits::default()
        })
        .await;
        let s = &bench.service;
        let request = download(Some(ICCID), None, None);
        s.download_order(&request, OPERATOR, NOW).await.unwrap();
        let mut request = confirm(ICCID);
        request.matching_id = Text::new(wanted);
        let got = s.confirm_order(&request, OPERATOR, NOW).await;
        match refusal {
            Some(codes) => refused(got, codes),
            None => assert_eq!(got.unwrap().matching_id.as_str(), wanted),
        }
    }
}

#[tokio::test]
async fn release_and_cancel() {
    let bench = Bench::new().await;
    let s = &bench.service;
    let released = |i| async move { s.release_profile(&release(i), OPERATOR, NOW).await };
    refused(released("8949").await, ("8.2.1", "3.9"));
    refused(released(ICCID).await, ("8.2.1", "3.5"));
    let cancelled = |r| async move { s.cancel_order(&r, OPERATOR, NOW).await };
    let available = cancel(ICCID, FinalProfileStatus::Available);
    refused(cancelled(available.clone()).await, ("8.2.1", "3.5"));

    let matching_id = bench.order(Some(EID_DIGITS), None).await;
    let mut other = available.clone();
    other.eid = Text::new(OTHER_EID);
    refused(cancelled(other).await, ("8.1.1", "3.10"));
    // The EID that the operator linked the order to must be named (SGP.22 §5.3.3).
    refused(cancelled(available.clone()).await, ("8.1.1", "2.2"));
    let mut other = available.clone();
    other.eid = Text::new(EID_DIGITS);
    other.matching_id = Text::new("OTHER");
    refused(cancelled(other).await, ("8.2.6", "3.10"));
    let mut mine = available.clone();
    mine.eid = Text::new(EID_DIGITS);
    mine.matching_id = Text::new(matching_id.as_str());
    cancelled(mine).await.unwrap();
    assert_eq!(bench.stored().await.state, OrderState::Available);
    let got = bench.authenticate(&bench.card(), Some(&matching_id)).await;
    refused(got, ("8.2.6", "3.8"));

    bench.order(None, None).await;
    cancelled(cancel(ICCID, FinalProfileStatus::Unavailable))
        .await
        .unwrap();
    let request = download(Some(ICCID), None, None);
    refused(
        s.download_order(&request, OPERATOR, NOW).await,
        ("8.2.1", "3.3"),
    );
}

#[tokio::test]
async fn an_order_that_a_card_has_taken_is_cancelled_without_its_eid() {
    // The operator named no EID, and need not know which card came first.
    let bench = Bench::new().await;
    let matching_id = bench.order(None, None).await;
    let mut card = bench.card();
    bench.download(&mut card, &matching_id).await;
    assert_eq!(bench.stored().await.eid.as_deref(), Some(EID_DIGITS));
    let request = cancel(ICCID, FinalProfileStatus::Available);
    let service = &bench.service;
    service.cancel_order(&request, OPERATOR, NOW).await.unwrap();
    // An EID of ConfirmOrder links as one of DownloadOrder does.
    let order = download(Some(ICCID), None, None);
    service.download_order(&order, OPERATOR, NOW).await.unwrap();
    let mut confirmed = confirm(ICCID);
    confirmed.eid = Text::new(EID_DIGITS);
    let done = service.confirm_order(&confirmed, OPERATOR, NOW).await;
    done.unwrap();
    let got = service.cancel_order(&request, OPERATOR, NOW).await;
    refused(got, ("8.1.1", "2.2"));
}

#[tokio::test]
async fn an_order_is_its_operators_own() {
    let bench = Bench::new().await;
    bench.order(Some(EID_DIGITS), None).await;
    let s = &bench.service;
    let got = s.release_profile(&release(ICCID), "other", NOW).await;
    refused(got, ("8.2.1", "1.2"));
    let got = s.confirm_order(&confirm(ICCID), "other", NOW).await;
    refused(got, ("8.2.1", "1.2"));
    let mut request = cancel(ICCID, FinalProfileStatus::Available);
    request.eid = Text::new(EID_DIGITS);
    let got = s.cancel_order(&request, "other", NOW).await;
    refused(got, ("8.2.1", "1.2"));
    s.cancel_order(&request, OPERATOR, NOW).await.unwrap();
    // Once it is free, anybody may order it.
    let request = download(Some(ICCID), None, None);
    s.download_order(&request, "other", NOW).await.unwrap();
}

#[tokio::test]
async fn two_operators_never_get_the_same_profile() {
    let bench = Bench::new().await;
    let request = download(None, None, None);
    let order = || async { bench.service.download_order(&request, OPERATOR, NOW).await };
    let (a, b, c) = tokio::join!(order(), order(), order());
    let mut got: Vec<_> = [a, b, c]
        .into_iter()
        .flatten()
        .map(|o| o.iccid.as_str().to_owned())
        .collect();
    got.sort();
    assert_eq!(got, [ICCID, ICCID2]);
}
