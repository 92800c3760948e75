//! Everything that the CMP keeps about a user, for the user (the right to a copy of their data).

use super::Service;
use crate::store::{Stored, Tx};
use aid_cmp_core::model::Account;
use aid_serve::page::rfc3339;
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

impl Service {
    /// The user's data as JSON; times are RFC 3339. Secrets are left out: hash of the password, PIN, cookies, tokens.
    ///
    /// # Errors
    /// The store failed.
    pub async fn export(self: &Arc<Self>, account: &Account) -> Stored<Value> {
        let user = account.clone();
        let look = async move |service: &Self, tx: &Tx<'_>| service.collect(tx, &user).await;
        self.look(look).await
    }

    async fn collect(&self, tx: &Tx<'_>, user: &Account) -> Stored<Value> {
        let id = user.id;
        let time = |ms: u64| Some(ms).filter(|ms| *ms > 0).map(rfc3339);
        let mut subscriptions = Vec::new();
        for federation in tx.federations(id).await? {
            let profiles = tx.profiles(federation.id).await?;
            let profiles = profiles.iter().map(|p| {
                json!({
                    "iccid": p.iccid.as_str(), "eid": p.eid.as_str(), "state": p.status.as_str(),
                    "last_used": time(p.last_used), "since": time(p.created_at),
                })
            });
            let number = self.msp(&federation.msp);
            let number = number.and_then(|msp| msp.phone_key.decrypt(&federation.phone).ok());
            subscriptions.push(json!({
                "operator": federation.msp,
                "number": number.map(|n| n.as_str().to_owned()),
                "kind": federation.kind.as_str(),
                "customer_group": federation.customer_group,
                "linked_at": time(federation.since),
                "ended_at": federation.ended_at.and_then(time),
                "ended_because": federation.ended_reason,
                "profiles": profiles.collect::<Vec<_>>(),
            }));
        }
        let names = tx.car_names(id).await?;
        let mut cars = Vec::new();
        let inside = tx.sessions(id).await?;
        for eid in tx.cars_of(id).await? {
            let vin = tx.vehicle(eid).await?.and_then(|v| v.vin);
            let name = names.iter().find(|(e, _)| *e == eid).map(|(_, name)| name);
            cars.push(json!({
                "eid": eid.as_str(), "vin": vin, "name": name, "logged_in": inside.contains(&eid),
            }));
        }
        let sessions = tx.portal_sessions(id).await?;
        let sessions = sessions.iter().map(|s| {
            json!({"browser": s.browser, "began": time(s.created_at), "ends": time(s.expires_at)})
        });
        let identities = tx.identities(id).await?;
        let identities = identities
            .iter()
            .map(|i| json!({"issuer": i.issuer, "subject": i.subject, "since": time(i.since)}));
        let notices = tx.notices(id).await?;
        let notices = notices
            .iter()
            .map(|n| json!({"at": time(n.at), "kind": n.kind.as_str(), "detail": n.detail}));
        let preferences = tx.preferences(id).await?;
        let preferences: serde_json::Map<String, Value> = preferences
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect();
        Ok(json!({
            "account": Uuid::from_bytes(id.0),
            "name": user.name,
            "display_name": user.display_name,
            "has_password": !crate::password::is_none(&user.password),
            "has_pin": user.pin_mac.is_some(),
            "created_at": time(user.created_at),
            "preferences": preferences,
            "subscriptions": subscriptions,
            "cars": cars,
            "sessions": sessions.collect::<Vec<_>>(),
            "identities": identities.collect::<Vec<_>>(),
            "notices": notices.collect::<Vec<_>>(),
        }))
    }
}
