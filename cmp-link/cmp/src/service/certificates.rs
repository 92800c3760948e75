//! Renewal of vehicles' certificates over AID2, with the certificate that is bound or with the bootstrap certificate.

use super::{Service, fresh, now};
use crate::operator::judge;
use crate::pki::{self, NotIssued};
use crate::service::Frame;
use crate::store::{StoreError, Stored, Tx};
use aid_cmp_core::decide::certificate::{self, Asked, DAY_MS, View};
use aid_cmp_core::decide::{Context, Decision, Outgoing};
use aid_cmp_core::model::Vehicle;
use aid_id::{Eid, Id};
use aid_wire::{CertificateOutcome, Down, Envelope, REVISION, SESSION_REVISION, Up, announced};
use std::sync::{Arc, PoisonError};

/// Commands of the PKI that run at once.
pub(super) const COMMANDS: usize = 8;
/// When a car asks again whose PKI does not work, seconds.
const BROKEN_S: u32 = 600;
/// When a car asks again whose request is at work, seconds.
const AT_WORK_S: u32 = 15;

/// What became of a message of a car that showed its bootstrap certificate.
#[derive(Debug)]
pub enum Bootstrapped {
    /// This is the answer, where there is one.
    Answered(Option<Box<Frame>>),
    /// It is not about renewal.
    Refused,
    /// The car does not take part.
    Foreign,
}

impl Service {
    /// Whether the car takes part, whatever its certificate.
    ///
    /// # Errors
    /// The store failed.
    pub async fn takes_part(self: &Arc<Self>, eid: Eid) -> Stored<bool> {
        let vehicle = self.look(async move |_, tx| tx.vehicle(eid).await).await?;
        Ok(vehicle.is_some_and(|v| v.retired_at.is_none()))
    }

    /// Judges a request of a car for a certificate. The car is locked.
    pub(super) async fn certificate_asked(
        &self,
        tx: &Tx<'_>,
        context: &Context,
        vehicle: &Vehicle,
        request_id: Id,
        request: &[u8],
        bootstrap: bool,
    ) -> Stored<(Decision, Asked)> {
        let eid = vehicle.eid;
        let since = context.now.saturating_sub(DAY_MS);
        let view = View {
            existing: tx.vehicle_certificate(eid, request_id).await?,
            lately: tx.vehicle_certificates_since(eid, since).await?,
            judged: judge(request, eid),
            issues: self.config.file.vehicle_ca.is_some(),
        };
        let (decision, asked) =
            certificate::ask(context, vehicle, view, (request_id, request), bootstrap);
        if let Asked::Answer(outcome) = &asked {
            tracing::warn!(%eid, ?outcome, "no certificate is issued for a car's request");
        }
        Ok((decision, asked))
    }

    /// Has the certificate of a stored request issued, and sends it to the car.
    pub(super) async fn issue_and_tell(self: &Arc<Self>, eid: Eid, request_id: Id) {
        if let Some(outcome) = self.certificate_of(eid, request_id).await {
            let message = Outgoing {
                eid,
                correlation: Some(request_id),
                message_id: fresh(),
                body: Down::Certificate {
                    request_id,
                    outcome,
                },
            };
            // A car that has gone asks again.
            self.tell(&message);
        }
    }

    /// The certificate of a stored request: the one that was issued before, or one that the PKI issues now. None: the PKI
    /// is asked for this car already, and that one's answer counts.
    async fn certificate_of(
        self: &Arc<Self>,
        eid: Eid,
        request_id: Id,
    ) -> Option<CertificateOutcome> {
        let began = {
            let mut issuing = self.issuing.lock().unwrap_or_else(PoisonError::into_inner);
            issuing.insert(eid)
        };
        if !began {
            return None;
        }
        let outcome = self.issued(eid, request_id).await;
        let mut issuing = self.issuing.lock().unwrap_or_else(PoisonError::into_inner);
        issuing.remove(&eid);
        drop(issuing);
        Some(outcome.unwrap_or_else(|error| {
            let outcome = match error {
                NotIssued::Refused(reason) => CertificateOutcome::Refused { reason },
                NotIssued::Later(_) => CertificateOutcome::Later { seconds: BROKEN_S },
            };
            tracing::error!(%eid, ?outcome, "no certificate was issued");
            outcome
        }))
    }

    async fn issued(
        self: &Arc<Self>,
        eid: Eid,
        request_id: Id,
    ) -> Result<CertificateOutcome, NotIssued> {
        let broken = |error: StoreError| NotIssued::Later(error.to_string());
        let stored = |issued: &aid_cmp_core::model::Issued| CertificateOutcome::Issued {
            chain: pki::chain(&issued.chain),
        };
        let asked = self
            .look(async move |_, tx| tx.vehicle_certificate(eid, request_id).await)
            .await;
        let Some(asked) = asked.map_err(broken)? else {
            return Err(NotIssued::Later("the request is not stored".into()));
        };
        if let Some(issued) = &asked.issued {
            return Ok(stored(issued));
        }
        let Some(ca) = &self.config.file.vehicle_ca else {
            return Err(NotIssued::Later("there is no [vehicle_ca]".into()));
        };
        let permit = self.commands.acquire().await;
        let issued = pki::certify(ca, eid, request_id, &asked.request, now()).await;
        drop(permit);
        let issued = issued.inspect_err(|error| {
            if let NotIssued::Later(error) = error {
                tracing::error!(%eid, %error, "the PKI does not work; the car asks again");
            }
        })?;
        let store = async move |_: &Self, tx: &Tx<'_>, context: &Context| {
            let vehicle = tx.locked_vehicle(eid).await?;
            let vehicle = vehicle.filter(|v| v.retired_at.is_none());
            let (Some(vehicle), Some(asked)) =
                (vehicle, tx.vehicle_certificate(eid, request_id).await?)
            else {
                return Ok((Decision::default(), None));
            };
            // Another instance was quicker.
            if let Some(before) = asked.issued {
                return Ok((Decision::default(), Some(before)));
            }
            let decision = certificate::issued(context, &vehicle, &asked, issued.clone());
            Ok::<_, StoreError>((decision, Some(issued.clone())))
        };
        match self.decide(store).await.map_err(broken)? {
            Some(issued) => Ok(stored(&issued)),
            None => Err(NotIssued::Refused("the vehicle takes part no more".into())),
        }
    }

    /// Takes a message of a car that showed its bootstrap certificate: `Hello` and `RenewCertificate`, and nothing else.
    ///
    /// # Errors
    /// The store failed; the car sends it again.
    pub async fn bootstrap(
        self: &Arc<Self>,
        eid: Eid,
        envelope: Envelope<Up>,
    ) -> Stored<Bootstrapped> {
        let message_id = envelope.message_id;
        let body = match envelope.body {
            Up::Hello { software, .. } => {
                let vehicle = self.look(async move |_, tx| tx.vehicle(eid).await).await?;
                let Some(vehicle) = vehicle.filter(|v| v.retired_at.is_none()) else {
                    return Ok(Bootstrapped::Foreign);
                };
                tracing::info!(%eid, %software, "a car came with its bootstrap certificate");
                let revision = announced(&software).min(REVISION);
                match revision < SESSION_REVISION {
                    true => Down::Ack { message_id },
                    // Nothing is changed: the session goes on in the connection with the other certificate.
                    false => Down::Welcome {
                        message_id,
                        revision,
                        session: vehicle.mark.number.unwrap_or_default(),
                    },
                }
            }
            Up::RenewCertificate {
                request_id,
                request,
            } => {
                let decide = async move |service: &Self, tx: &Tx<'_>, context: &Context| {
                    let vehicle = tx.locked_vehicle(eid).await?;
                    let Some(vehicle) = vehicle.filter(|v| v.retired_at.is_none()) else {
                        return Ok((Decision::default(), None));
                    };
                    let asked = service
                        .certificate_asked(tx, context, &vehicle, request_id, &request, true)
                        .await?;
                    Ok::<_, StoreError>((asked.0, Some(asked.1)))
                };
                let outcome = match self.decide(decide).await? {
                    None => return Ok(Bootstrapped::Foreign),
                    Some(Asked::Answer(outcome)) => outcome,
                    Some(Asked::Issue) => {
                        let seconds = AT_WORK_S;
                        let issued = self.certificate_of(eid, request_id).await;
                        issued.unwrap_or(CertificateOutcome::Later { seconds })
                    }
                };
                Down::Certificate {
                    request_id,
                    outcome,
                }
            }
            Up::Ack { .. } => return Ok(Bootstrapped::Answered(None)),
            other => {
                let text = format!("{other:?}");
                let kind = text.split([' ', '{']).next().unwrap_or_default();
                tracing::warn!(%eid, message = kind, "refused: with a bootstrap certificate a car may only renew");
                return Ok(Bootstrapped::Refused);
            }
        };
        let message = Outgoing {
            eid,
            correlation: Some(envelope.correlation_id),
            message_id: fresh(),
            body,
        };
        Ok(Bootstrapped::Answered(self.connections.frame(&message)))
    }
}
