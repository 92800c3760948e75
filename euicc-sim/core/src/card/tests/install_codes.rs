//! Given each way in which an installation can fail, when the package is loaded, then the
//! ProfileInstallationResult has the ErrorReason for that way: every reason once.
use super::codes::Row;
use super::failing::{Failing, Operation};
use super::host::*;
use crate::card::Options;
use aid_rsp::es10::*;
use aid_rsp::saip::builder::{Algorithm, ProfileBuilder};
use std::sync::Arc;
use std::vec::Vec;

type Loaded = Result<Option<FinalResult>, u16>;

fn reason(loaded: Loaded) -> ErrorReason {
    match loaded {
        Ok(Some(FinalResult::Error { reason, .. })) => reason,
        other => panic!("{other:?}"),
    }
}

fn unsigned(
    host: &mut Host,
    f: &dyn Fn(&mut aid_rsp::es8::InitialiseSecureChannelRequest),
) -> ErrorReason {
    let tamper = Tamper {
        unsigned: Some(f),
        ..Tamper::default()
    };
    reason(host.download(&metadata(1), &package(1), &tamper))
}

fn pieces(host: &mut Host, f: &dyn Fn(&mut Pieces)) -> ErrorReason {
    let tamper = Tamper {
        segments: Some(f),
        ..Tamper::default()
    };
    reason(host.download(&metadata(1), &package(1), &tamper))
}

fn plain(host: &mut Host, metadata: &StoreMetadataRequest, upp: &[u8]) -> ErrorReason {
    reason(host.download(metadata, upp, &Tamper::default()))
}

/// A profile with a key that only its operator can know.
fn secret_key() -> Vec<u8> {
    let algorithm = Algorithm::Milenage {
        k: core::array::from_fn(|i| (i * i) as u8 + 3),
        opc: [1; 16],
    };
    ProfileBuilder::new(iccid_digits(1), imsi(1), algorithm)
        .build()
        .unwrap()
}

fn test_class() -> StoreMetadataRequest {
    StoreMetadataRequest {
        profile_class: ProfileClass::Test,
        ..metadata(1)
    }
}

// R-1.4-1
#[test]
fn every_error_reason_is_there() {
    use ErrorReason as R;
    let table: &[Row<'_, R>] = &[
        (R::IncorrectInputValues, &|h| {
            let m = StoreMetadataRequest {
                icon: Some(std::vec![1]),
                ..metadata(1)
            };
            plain(h, &m, &package(1))
        }),
        (R::IncorrectInputValues, &|h| {
            // A wildcard is no operator.
            let mut m = metadata(1);
            m.profile_owner.as_mut().unwrap().mcc_mnc = [0xEE, 0xEE, 0xEE];
            plain(h, &m, &package(1))
        }),
        (R::InvalidSignature, &|h| {
            let tamper = Tamper {
                initialise: Some(&|i| i.smdp_sign = [1; 64].into()),
                ..Tamper::default()
            };
            reason(h.download(&metadata(1), &package(1), &tamper))
        }),
        (R::InvalidTransactionId, &|h| {
            unsigned(h, &|i| i.transaction_id = TransactionId::new(&[1]).unwrap())
        }),
        (R::UnsupportedCrtValues, &|h| {
            unsigned(h, &|i| i.control_ref_template.key_len = 0x20)
        }),
        (R::UnsupportedRemoteOperationType, &|h| {
            unsigned(h, &|i| i.remote_op_id = 2)
        }),
        (R::UnsupportedProfileClass, &|h| {
            plain(h, &test_class(), &package(1))
        }),
        (R::Scp03tStructureError, &|h| {
            pieces(h, &|p| p.last_mut().unwrap()[0] = 0x87)
        }),
        (R::Scp03tSecurityError, &|h| {
            pieces(h, &|p| *p.last_mut().unwrap().last_mut().unwrap() ^= 1)
        }),
        (R::IccidAlreadyExists, &|h| {
            h.install(1);
            plain(h, &metadata(1), &package(1))
        }),
        (R::InsufficientMemory, &|h| {
            h.card.options = Options {
                memory: 1000,
                ..Options::default()
            };
            plain(h, &metadata(1), &package(1))
        }),
        (R::InsufficientMemory, &|h| {
            h.card.options = Options {
                memory: 0,
                ..Options::default()
            };
            plain(h, &metadata(1), &package(1))
        }),
        (R::Interruption, &|h| {
            let tamper = Tamper::default();
            let AuthenticateServerResponse::Ok(ok) = h.authenticate(&tamper) else {
                panic!()
            };
            let prepared = h.prepare(&ok, &tamper);
            let pieces = h.bpp(&prepared, &metadata(1), &package(1), &tamper);
            assert_eq!(h.load(&pieces[..4]), Ok(None));
            h.card.reset();
            h.open_isdr();
            let all = RetrieveNotificationsListRequest::default();
            let RetrieveNotificationsListResponse::Ok(list) = h.call(&all) else {
                panic!()
            };
            let [PendingNotification::Installation(result)] = &list[..] else {
                panic!("{list:?}")
            };
            reason(Ok(Some(result.data.value().result.clone())))
        }),
        (R::PeProcessingError, &|h| {
            plain(h, &metadata(1), b"\xA0\x03\x80\x01\x02")
        }),
        (R::DataMismatch, &|h| plain(h, &metadata(2), &package(1))),
        (R::DataMismatch, &|h| {
            // Rules of an operator whose profile it is not.
            let mut m = metadata(1);
            m.policy_rules = Some(ppr::PPR2);
            m.profile_owner.as_mut().unwrap().mcc_mnc = [0x62, 0xF2, 0x10];
            plain(h, &m, &package(1))
        }),
        (R::TestProfileInvalidNaaKey, &|h| {
            h.card.options.test_profiles = true;
            plain(h, &test_class(), &secret_key())
        }),
        (R::PprNotAllowed, &|h| {
            h.install(2);
            let m = StoreMetadataRequest {
                policy_rules: Some(ppr::PPR1),
                ..metadata(1)
            };
            plain(h, &m, &package(1))
        }),
        (R::PprNotAllowed, &|h| {
            h.card.options.rules = GetRatResponse::default();
            let m = StoreMetadataRequest {
                policy_rules: Some(ppr::PPR2),
                ..metadata(1)
            };
            plain(h, &m, &package(1))
        }),
        (R::PeProcessingError, &|h| {
            // The first write keeps the one-time key, the second would be the profile.
            h.card.nvm().refuse_commit(1);
            plain(h, &metadata(1), &package(1))
        }),
        (R::DataMismatch, &|h| {
            // The header has the ICCID of the metadata, EF.ICCID has not.
            let mut upp = package(1);
            let own = metadata(1).iccid;
            let at = upp.windows(10).rposition(|w| w == own).unwrap();
            upp[at + 9] ^= 0x10;
            plain(h, &metadata(1), &upp)
        }),
        (R::DataMismatch, &|h| {
            // An owner whose profile it is not, without any rules.
            let mut m = metadata(1);
            m.profile_owner.as_mut().unwrap().mcc_mnc = [0x62, 0xF2, 0x10];
            plain(h, &m, &package(1))
        }),
        (R::UnknownError, &|h| {
            let healthy = Arc::clone(&h.card.crypto);
            h.card.crypto = Arc::new(Failing {
                inner: h.crypto.clone(),
                what: Operation::Agree,
            });
            let got = plain(h, &metadata(1), &package(1));
            h.card.crypto = healthy;
            got
        }),
    ];
    for code in R::ALL {
        assert!(
            table.iter().any(|(c, _)| c == code),
            "nothing produces {code}"
        );
    }
    for (code, produce) in table {
        let mut host = Host::new();
        assert_eq!(produce(&mut host), *code);
        // Nothing is left but the notification: the next download goes through.
        host.card.options = Options::default();
        let before = host.profiles().len();
        host.install(4);
        assert_eq!(host.profiles().len(), before + 1);
    }
}

// The Rules Authorisation Table (§2.9.3): who may set which rule.
#[test]
fn the_rules_authorisation_table_is_enforced() {
    let operator = |mcc_mnc, gid1: Option<&[u8]>| OperatorId {
        mcc_mnc,
        gid1: gid1.map(<[u8]>::to_vec),
        gid2: None,
    };
    let own = [0x00, 0xF1, 0x10];
    let rat = |pprs, operators| GetRatResponse {
        rules: std::vec![(pprs, operators, false)],
    };
    let loaded = |rules: GetRatResponse, wanted, gid1: Option<&[u8]>| {
        let mut host = Host::new();
        host.card.options.rules = rules;
        let mut m = metadata(1);
        m.policy_rules = Some(wanted);
        m.profile_owner = Some(operator(own, gid1));
        match host.download(&m, &package(1), &Tamper::default()) {
            Ok(Some(FinalResult::Success { .. })) => None,
            Ok(Some(FinalResult::Error { reason, .. })) => Some(reason),
            other => panic!("{other:?}"),
        }
    };
    let refused = Some(ErrorReason::PprNotAllowed);
    let both = ppr::PPR1 | ppr::PPR2;
    let (mine, other) = (operator(own, None), operator([0x62, 0xF2, 0x10], None));
    assert_eq!(loaded(rat(both, std::vec![mine.clone()]), both, None), None);
    assert_eq!(
        loaded(rat(ppr::PPR1, std::vec![mine.clone()]), both, None),
        refused
    );
    assert_eq!(
        loaded(rat(both, std::vec![other.clone()]), ppr::PPR1, None),
        refused
    );
    assert_eq!(
        loaded(rat(both, std::vec![other, mine]), ppr::PPR2, None),
        None
    );
    // Wildcards: any network of this country, any operator.
    let any = operator([0xEE, 0xEE, 0xEE], None);
    let country = operator([0x00, 0xE1, 0xEE], None);
    assert_eq!(loaded(rat(both, std::vec![any]), both, None), None);
    assert_eq!(loaded(rat(both, std::vec![country]), both, None), None);
    // A rule for one group of the operator is not for another.
    let group = operator(own, Some(&[7]));
    assert_eq!(loaded(rat(both, std::vec![group]), both, None), refused);
    // Without an owner nobody has set the rule.
    let mut host = Host::new();
    let mut m = metadata(1);
    m.policy_rules = Some(ppr::PPR2);
    m.profile_owner = None;
    let result = host.download(&m, &package(1), &Tamper::default());
    assert_eq!(reason(result), ErrorReason::PprNotAllowed);
}
