//! CONNECT of a vehicle, and what CONNACK says the gateway does not offer (MQTT 5 §3.1, §3.2).

use super::{End, Session, has};
use aid_id::Eid;
use mqtt_protocol_core::mqtt::packet::{
    AssignedClientIdentifier, MaximumQos, Property, RetainAvailable, SessionExpiryInterval,
    SharedSubscriptionAvailable, SubscriptionIdentifierAvailable, WildcardSubscriptionAvailable,
    v5_0,
};
use mqtt_protocol_core::mqtt::result_code::ConnectReasonCode;
use tokio::time::Instant;

impl Session {
    pub(super) fn connect(&mut self, connect: &v5_0::Connect) -> Result<(), End> {
        let id_fits =
            |eid: Eid| connect.client_id().is_empty() || connect.client_id() == eid.as_str();
        let reason = match self.eid {
            None => ConnectReasonCode::NotAuthorized,
            Some(eid) if !id_fits(eid) => ConnectReasonCode::ClientIdentifierNotValid,
            // MQTT 5 §4.12: a method that the server does not know. Certificates say who somebody is.
            Some(_)
                if has(&connect.props, |p| {
                    matches!(p, Property::AuthenticationMethod(_))
                }) =>
            {
                ConnectReasonCode::BadAuthenticationMethod
            }
            Some(_) if connect.will_flag() => ConnectReasonCode::ImplementationSpecificError,
            Some(_) => ConnectReasonCode::Success,
        };
        let mut builder = v5_0::Connack::builder()
            .session_present(false)
            .reason_code(reason);
        if let (Some(eid), ConnectReasonCode::Success) = (self.eid, reason) {
            // No session outlives its connection: what waits is in the database.
            let mut properties: Vec<Property> = Vec::new();
            properties.extend(SessionExpiryInterval::new(0).map(Property::from));
            properties.extend(MaximumQos::new(1).map(Property::from));
            properties.extend(RetainAvailable::new(0).map(Property::from));
            properties.extend(WildcardSubscriptionAvailable::new(0).map(Property::from));
            properties.extend(SubscriptionIdentifierAvailable::new(0).map(Property::from));
            properties.extend(SharedSubscriptionAvailable::new(0).map(Property::from));
            if connect.client_id().is_empty() {
                let assigned = AssignedClientIdentifier::new(eid.as_str());
                properties.extend(assigned.map(Property::from));
            }
            builder = builder.props(properties);
        }
        if let Ok(packet) = builder.build() {
            self.send(packet);
        }
        if reason != ConnectReasonCode::Success {
            return Err(Some(format!("CONNECT refused: {reason:?}")));
        }
        self.connected = true;
        if connect.keep_alive() == 0 {
            self.patience.open(Instant::now());
        }
        if let Some(eid) = self.eid {
            tracing::trace!(target: "trace", "<- MQTT {eid} CONNECT");
        }
        Ok(())
    }
}

/// Whether the reserved flag is set, which ends the connection (MQTT 5 §3.1.2.3).
pub(super) fn has_reserved_flag(connect: &v5_0::Connect) -> bool {
    /// Name and version of the protocol.
    const BEFORE: usize = 7;
    let bytes = connect.to_continuous_buffer();
    let length = bytes.iter().skip(1).position(|byte| byte & 0x80 == 0);
    let flags = length.and_then(|last| bytes.get(last + 2 + BEFORE));
    flags.is_some_and(|flags| flags & 1 == 1)
}
