//! ES10b.CancelSession: SGP.22 §5.7.14.

use super::installing::Authenticated;
use super::{Rig, with_server};
use crate::rsp::dp::other_transaction;
use crate::rsp::findings::{Checked, must, one_of, same};
use crate::rsp::table;
use crate::test::Finding;
use aid_rsp::crypto::Crypto as _;
use aid_rsp::es10::{
    CancelSessionErrorCode, CancelSessionReason, CancelSessionRequest, CancelSessionResponse,
    DownloadErrorCode, PrepareDownloadResponse, TransactionId,
};

table! { Rig;
    "SGP22-5.7.14/signed" [] ["4.2.19"] "SGP.22 §5.7.14" Must, with_server, signed,
        "CancelSession is answered with transactionId, OID and reason, signed by the eUICC.";
    "SGP22-5.7.14/other-transaction" [] ["4.2.19"] "SGP.22 §5.7.14" Must, with_server, other,
        "CancelSession of another transactionId is refused with invalidTransactionId.";
    "SGP22-5.7.14/ends" [] [] "SGP.22 §5.7.14" Must, with_server, ends,
        "A session that was cancelled takes no PrepareDownload.";
    "SGP22-5.7.14/once" [] [] "SGP.22 §5.7.14" Must, with_server, once,
        "A session that was cancelled can't be cancelled again.";
}

fn cancel(
    rig: &mut Rig,
    transaction_id: TransactionId,
    reason: CancelSessionReason,
) -> Checked<CancelSessionResponse> {
    let request = CancelSessionRequest {
        transaction_id,
        reason,
    };
    rig.call("CancelSession", &request)
}

fn signed(rig: &mut Rig) -> Checked {
    for reason in [
        CancelSessionReason::EndUserRejection,
        CancelSessionReason::Postponed,
        CancelSessionReason::UndefinedReason,
    ] {
        let session = Authenticated::new(rig)?;
        let id = session.id;
        let CancelSessionResponse::Ok { signed, signature } = cancel(rig, id, reason)? else {
            return Err(Finding::broken(
                format!("CancelSession ({reason}): cancelSessionResponseOk"),
                "an error code",
            ));
        };
        let value = signed.value();
        same(
            "euiccCancelSessionSigned: transactionId",
            &id,
            &value.transaction_id,
        )?;
        same(
            "euiccCancelSessionSigned: OID of CERT.DPauth",
            &rig.dp()?.oid,
            &value.smdp_oid,
        )?;
        one_of("euiccCancelSessionSigned: reason", &[reason], &value.reason)?;
        let dp = rig.dp()?;
        let key = session.key()?;
        let verified = dp
            .crypto
            .verify(&key, &[signed.bytes()], signature.as_bytes());
        must(
            verified.is_ok(),
            "euiccCancelSessionSignature by the key of CERT.EUICC",
            || "a signature that does not verify".to_owned(),
        )?;
    }
    Ok(())
}

fn refused(what: &str, answer: &CancelSessionResponse) -> Checked {
    match answer {
        CancelSessionResponse::Error(code) => {
            one_of(what, &[CancelSessionErrorCode::InvalidTransactionId], code)
        }
        CancelSessionResponse::Ok { .. } => Err(Finding::broken(
            format!("{what}: invalidTransactionId (5)"),
            "cancelSessionResponseOk",
        )),
    }
}

fn other(rig: &mut Rig) -> Checked {
    let session = Authenticated::new(rig)?;
    let other = other_transaction(session.id);
    let answer = cancel(rig, other, CancelSessionReason::Postponed)?;
    refused("CancelSession of another transactionId", &answer)
}

fn ends(rig: &mut Rig) -> Checked {
    let session = Authenticated::new(rig)?;
    cancel(rig, session.id, CancelSessionReason::Postponed)?;
    let answer = session.prepare(rig)?;
    match answer {
        PrepareDownloadResponse::Error { code, .. } => one_of(
            "PrepareDownload after CancelSession",
            &[
                DownloadErrorCode::NoSessionContext,
                DownloadErrorCode::InvalidTransactionId,
            ],
            &code,
        ),
        PrepareDownloadResponse::Ok { .. } => Err(Finding::broken(
            "PrepareDownload after CancelSession: noSessionContext (4)",
            "downloadResponseOk",
        )),
    }
}

fn once(rig: &mut Rig) -> Checked {
    let session = Authenticated::new(rig)?;
    cancel(rig, session.id, CancelSessionReason::Postponed)?;
    let answer = cancel(rig, session.id, CancelSessionReason::Postponed)?;
    refused("CancelSession a second time", &answer)
}
