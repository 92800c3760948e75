//! The steps of a download as the judge plays them, for the tests that need a session or a profile.

use super::Rig;
use crate::rsp::dp::{Dp, Fault, Package, device, pieces};
use crate::rsp::findings::{Checked, hexed};
use crate::rsp::profile::{Profile, digits};
use crate::test::Finding;
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::PublicKey;
use aid_rsp::es10::{
    AuthenticateResponseOk, AuthenticateServerRequest, AuthenticateServerResponse, DataObject,
    EuiccSigned2, FinalResult, GetEuiccChallengeRequest, GetEuiccChallengeResponse,
    PrepareDownloadResponse, ProfileIdentifier, ProfileInstallationResult, ServerSigned1, Signed,
    SmdpSigned2, TransactionId,
};

/// What the matchingId of the judge's sessions is.
pub(super) const MATCHING_ID: &str = "JUDGE-1";

/// A challenge, and the request that answers it.
pub(super) struct Challenged {
    pub(super) id: TransactionId,
    pub(super) request: AuthenticateServerRequest,
}

impl Challenged {
    /// Asks for a challenge and signs for it.
    pub(super) fn new(rig: &mut Rig) -> Checked<Self> {
        let answer: GetEuiccChallengeResponse =
            rig.call("GetEUICCChallenge", &GetEuiccChallengeRequest)?;
        Self::of(rig, answer.challenge)
    }

    /// Signs for a challenge that the card may not have.
    pub(super) fn of(rig: &mut Rig, challenge: [u8; 16]) -> Checked<Self> {
        let id = TransactionId::new(&rig.rng.bytes::<16>())
            .ok_or_else(|| Finding::Hidden("no transactionId".to_owned()))?;
        let signed = ServerSigned1 {
            transaction_id: id,
            euicc_challenge: challenge,
            server_address: rig.address.clone(),
            server_challenge: rig.rng.bytes(),
        };
        let request = rig.dp()?.authenticate_server(signed, MATCHING_ID, device());
        Ok(Self {
            id,
            request: request.map_err(Finding::Hidden)?,
        })
    }

    /// The card's answer.
    pub(super) fn send(&self, rig: &mut Rig) -> Checked<AuthenticateServerResponse> {
        rig.call("AuthenticateServer", &self.request)
    }
}

/// A session that is open at the card.
pub(super) struct Authenticated {
    pub(super) id: TransactionId,
    pub(super) request: AuthenticateServerRequest,
    pub(super) ok: AuthenticateResponseOk,
}

impl Authenticated {
    /// Mutual authentication, which must succeed.
    pub(super) fn new(rig: &mut Rig) -> Checked<Self> {
        let challenged = Challenged::new(rig)?;
        match challenged.send(rig)? {
            AuthenticateServerResponse::Ok(ok) => Ok(Self {
                id: challenged.id,
                request: challenged.request,
                ok: *ok,
            }),
            AuthenticateServerResponse::Error { code, .. } => Err(Finding::broken(
                "AuthenticateServer of an SM-DP+ under a CI that the card accepts: authenticateResponseOk",
                code.to_string(),
            )),
        }
    }

    /// The key of CERT.EUICC.
    pub(super) fn key(&self) -> Checked<PublicKey> {
        let certificate = Certificate::from_der(&self.ok.euicc_certificate);
        let certificate = certificate.map_err(|e| {
            Finding::broken("CERT.EUICC.ECDSA in authenticateResponseOk", e.to_string())
        })?;
        Ok(*certificate.public_key())
    }

    /// PrepareDownload without Confirmation Code; the card's answer.
    pub(super) fn prepare(&self, rig: &mut Rig) -> Checked<PrepareDownloadResponse> {
        let request = self.prepare_request(&rig.dp()?, self.id)?;
        rig.call("PrepareDownload", &request)
    }

    /// The request of [`Authenticated::prepare`] for a transactionId.
    pub(super) fn prepare_request(
        &self,
        dp: &Dp,
        transaction_id: TransactionId,
    ) -> Checked<aid_rsp::es10::PrepareDownloadRequest> {
        let signed = SmdpSigned2 {
            transaction_id,
            cc_required: false,
            bpp_euicc_otpk: None,
        };
        dp.prepare_download(&self.ok, signed, None)
            .map_err(Finding::Hidden)
    }

    /// PrepareDownload, which must succeed.
    pub(super) fn prepared(&self, rig: &mut Rig) -> Checked<Signed<EuiccSigned2>> {
        match self.prepare(rig)? {
            PrepareDownloadResponse::Ok { euicc_signed2, .. } => Ok(euicc_signed2),
            PrepareDownloadResponse::Error { code, .. } => Err(Finding::broken(
                "PrepareDownload of the SM-DP+ that was authenticated: downloadResponseOk",
                code.to_string(),
            )),
        }
    }
}

/// What came of a package.
pub(super) enum Loaded {
    /// The card's result, and the session in which it was made.
    Result(Box<ProfileInstallationResult>, Box<Authenticated>),
    /// A status word instead.
    Status(u16),
    /// All pieces were taken without a result.
    Nothing,
}

/// A package of a profile.
pub(super) fn package(profile: &Profile) -> Package {
    Package {
        metadata: profile.metadata.clone(),
        elements: profile.elements.clone(),
        own_keys: false,
        fault: Fault::None,
    }
}

/// A profile of the judge's that was not used before.
pub(super) fn new_profile(rig: &mut Rig) -> Checked<Profile> {
    rig.serial += 1;
    let address = rig.address.clone();
    Profile::new(&mut rig.rng, rig.serial, &address).map_err(Finding::Hidden)
}

/// Authenticates, prepares, binds and loads a package.
pub(super) fn load(rig: &mut Rig, package: &Package) -> Checked<Loaded> {
    let session = Authenticated::new(rig)?;
    let prepared = session.prepared(rig)?;
    let pieces = bound(rig, prepared.value(), package)?;
    rig.installed.push(package.metadata.iccid);
    rig.ensure_open()?;
    for piece in pieces {
        match rig.piece(&piece)? {
            Ok(answer) if answer.is_empty() => {}
            Ok(answer) => {
                let result = ProfileInstallationResult::from_slice(&answer).map_err(|e| {
                    Finding::broken(
                        "LoadBoundProfilePackage: a ProfileInstallationResult (BF37)",
                        format!("{}: {e}", hexed(&answer)),
                    )
                })?;
                return Ok(Loaded::Result(Box::new(result), Box::new(session)));
            }
            Err(sw) => return Ok(Loaded::Status(sw)),
        }
    }
    Ok(Loaded::Nothing)
}

/// The pieces of a package for a card that has prepared.
pub(super) fn bound(
    rig: &mut Rig,
    prepared: &EuiccSigned2,
    package: &Package,
) -> Checked<Vec<Vec<u8>>> {
    let (dp, eid) = (rig.dp()?, rig.eid);
    let bpp = dp.bind(prepared, &eid, package, &mut rig.rng);
    let bpp =
        bpp.map_err(|e| Finding::broken("an otPK.EUICC.ECKA on the curve of CERT.DPpb", e))?;
    pieces(&bpp, package.fault).map_err(Finding::Hidden)
}

/// Installs a profile, which must succeed.
pub(super) fn install(rig: &mut Rig) -> Checked<Profile> {
    let profile = new_profile(rig)?;
    install_this(rig, &profile)?;
    Ok(profile)
}

/// Installs this profile, which must succeed.
pub(super) fn install_this(rig: &mut Rig, profile: &Profile) -> Checked {
    match load(rig, &package(profile))? {
        Loaded::Result(result, _) => match &result.data.value().result {
            FinalResult::Success { .. } => Ok(()),
            FinalResult::Error {
                command, reason, ..
            } => Err(Finding::broken(
                format!("the profile {} installed", digits(&profile.iccid)),
                format!("{reason} at {command}"),
            )),
        },
        Loaded::Status(sw) => Err(Finding::broken(
            "LoadBoundProfilePackage: a result",
            format!("status word {sw:04X}"),
        )),
        Loaded::Nothing => Err(Finding::broken(
            "LoadBoundProfilePackage: a result after the last piece",
            "no result",
        )),
    }
}

/// How ES10c names a profile.
pub(super) const fn by_iccid(profile: &Profile) -> ProfileIdentifier {
    ProfileIdentifier::Iccid(profile.iccid)
}
