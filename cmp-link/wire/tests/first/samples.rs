// One message of every kind of revision 1, for `first_revision.rs`. Included beside the types of the revision that
// it is built from.

/// Every message of a car.
pub fn ups() -> Vec<Up> {
    let (a, b) = ([0xAA; 16], AccountRef([0xBB; 16]));
    let iccid: Iccid = "8944500805172032953".parse().unwrap();
    let states = [Status::Installed, Status::Enabled, Status::Disabled];
    let profiles = states.into_iter().map(|state| ProfileState {
        iccid: iccid.clone(),
        state,
        owner: (state == Status::Enabled).then_some(b),
    });
    let mut all = vec![
        Up::Hello {
            software: "aid-agent 0.1.0".into(),
            profiles: profiles.collect(),
        },
        Up::Login {
            login_id: a,
            user: "eva".into(),
            pin: Secret::new("1234".into()),
        },
        Up::Logout { account: b },
        Up::RequestActivationCode {
            request_id: a,
            account: b,
        },
        Up::Ack { message_id: a },
        Up::LoginByCode { login_id: a },
        Up::CardFull {
            request_id: a,
            account: b,
        },
        Up::RequestAgain {
            request_id: a,
            account: b,
        },
    ];
    let statuses = [
        Status::Installed,
        Status::Enabled,
        Status::Disabled,
        Status::Deleted,
        Status::InstallationFailed,
    ];
    for (n, status) in (1..).zip(statuses) {
        all.push(Up::Status {
            report_seq: n << 32 | n,
            iccid: (n != 5).then(|| iccid.clone()),
            account: (n != 1).then_some(b),
            status,
            code: if n == 5 { 513 } else { 0 },
        });
    }
    let outcomes = [
        OrderOutcome::Done,
        OrderOutcome::NotFound,
        OrderOutcome::Failed { code: 300 },
    ];
    all.extend(outcomes.map(|outcome| Up::OrderResult {
        order_id: a,
        outcome,
    }));
    all
}

/// Every message of a CMP.
pub fn downs() -> Vec<Down> {
    let (a, b) = ([0xAA; 16], AccountRef([0xBB; 16]));
    let iccid: Iccid = "8944500805172032953".parse().unwrap();
    let code = |iccid| CodeOutcome::Code {
        code: Secret::new("1$smdp.example$M-1".into()),
        iccid,
    };
    let outcomes = [
        code(Some(iccid.clone())),
        code(None),
        CodeOutcome::Pending,
        CodeOutcome::Failed {
            code: 49,
            reason: "no".into(),
        },
        CodeOutcome::Ask,
    ];
    let kinds = [
        OrderKind::Delete {
            iccid: iccid.clone(),
        },
        OrderKind::Disable {
            iccid: iccid.clone(),
        },
        OrderKind::Logout { account: b },
        OrderKind::DeleteAll,
        OrderKind::Erase { account: b },
    ];
    let mut all = vec![
        Down::LoginResult {
            login_id: a,
            outcome: LoginOutcome::Accepted {
                account: b,
                aup: Aup {
                    display_name: "Eva".into(),
                    msp_name: "Mobile One".into(),
                    masked_number: "*89".into(),
                },
                profiles: vec![iccid],
            },
        },
        Down::LoginResult {
            login_id: a,
            outcome: LoginOutcome::Refused {
                reason: "name or PIN is wrong".into(),
            },
        },
        Down::StatusAck {
            report_seq: 0x7FFF_FFFF_0000_0007,
        },
        Down::Ack { message_id: a },
        Down::LoginCode {
            login_id: a,
            code: "BCDF-GHJK".into(),
            url: "https://cmp.example/car".into(),
            expires_in: 600,
        },
        Down::UserProfile {
            account: b,
            profile: UserProfile {
                display_name: "Eva".into(),
                subscriptions: vec![SubscriptionView {
                    msp_name: "Mobile One".into(),
                    icon: "i".into(),
                    label: "private".into(),
                    masked_number: "*89".into(),
                    suspended: true,
                }],
                preferences: vec![("seat".into(), "3".into())],
            },
        },
        Down::Space {
            request_id: a,
            granted: true,
        },
    ];
    all.extend(outcomes.map(|outcome| Down::ActivationCode {
        request_id: a,
        account: b,
        outcome,
    }));
    all.extend(kinds.map(|kind| Down::Order { order_id: a, kind }));
    all
}

/// The message in an envelope, with every field set.
pub fn enveloped<B>(body: B) -> Envelope<B> {
    Envelope {
        version: 1,
        message_id: [0x11; 16],
        correlation_id: [0x22; 16],
        sequence: 300,
        expires_at: Some(1_700_000_000),
        body,
    }
}
