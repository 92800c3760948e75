//! The operations of the admin API: method, path, and who may call them. `openapi.json` describes them to others; a test
//! holds the two together.

use aid_cmp_core::model::Role;
use axum::http::Method;

/// An operation of the admin API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// How much is to be done.
    Summary,
    /// What is wrong now.
    Problems,
    /// Vehicles.
    Vehicles,
    /// A vehicle takes part with any certificate of the gateway's CA.
    AddVehicle,
    /// A vehicle takes part with one certificate, issued here where a request comes instead.
    EnrolVehicle,
    /// Many vehicles take part.
    ImportVehicles,
    /// A vehicle.
    Vehicle,
    /// A rental or a visit of a workshop.
    ClearVehicle,
    /// A vehicle is cut off.
    RetireVehicle,
    /// A unit was exchanged.
    ExchangeVehicle,
    /// Users.
    Users,
    /// A new user.
    AddUser,
    /// A user.
    User,
    /// A user may try again at once.
    UnlockUser,
    /// A user is forgotten.
    EraseUser,
    /// Links.
    Links,
    /// A link ends.
    WithdrawLink,
    /// Profiles.
    Profiles,
    /// A profile is deleted from its vehicle.
    DeleteProfile,
    /// Orders.
    Orders,
    /// A new order.
    AddOrder,
    /// An order.
    Order,
    /// An order is given again.
    ReplayOrder,
    /// An order is closed without a result.
    CloseOrder,
    /// Calls to MSPs.
    Calls,
    /// A call.
    Call,
    /// A call is made now.
    ReplayCall,
    /// A call is closed without an answer.
    DropCall,
    /// Entries of the audit trail.
    Audit,
    /// The MSPs.
    Msps,
    /// All that is known of a transaction.
    Correlation,
    /// Addresses that hear of orders and alarms.
    Webhooks,
    /// A new address.
    AddWebhook,
    /// An address hears nothing any more.
    RemoveWebhook,
}

use Operation as Op;

/// Each operation with its method, its path, and the least role that may call it.
pub const OPERATIONS: [(Op, Method, &str, Role); 34] = [
    (Op::Summary, Method::GET, "/v1/summary", Role::Viewer),
    (Op::Problems, Method::GET, "/v1/problems", Role::Viewer),
    (Op::Vehicles, Method::GET, "/v1/vehicles", Role::Viewer),
    (Op::AddVehicle, Method::POST, "/v1/vehicles", Role::Operator),
    (
        Op::EnrolVehicle,
        Method::POST,
        "/v1/vehicles/enrol",
        Role::Operator,
    ),
    (
        Op::ImportVehicles,
        Method::POST,
        "/v1/vehicles/import",
        Role::Operator,
    ),
    (Op::Vehicle, Method::GET, "/v1/vehicles/{eid}", Role::Viewer),
    (
        Op::ClearVehicle,
        Method::POST,
        "/v1/vehicles/{eid}/clear",
        Role::Operator,
    ),
    (
        Op::RetireVehicle,
        Method::POST,
        "/v1/vehicles/{eid}/retire",
        Role::Admin,
    ),
    (
        Op::ExchangeVehicle,
        Method::POST,
        "/v1/vehicles/{eid}/exchange",
        Role::Admin,
    ),
    (Op::Users, Method::GET, "/v1/users", Role::Viewer),
    (Op::AddUser, Method::POST, "/v1/users", Role::Admin),
    (Op::User, Method::GET, "/v1/users/{name}", Role::Viewer),
    (
        Op::UnlockUser,
        Method::POST,
        "/v1/users/{name}/unlock",
        Role::Operator,
    ),
    (
        Op::EraseUser,
        Method::POST,
        "/v1/users/{name}/erase",
        Role::Admin,
    ),
    (Op::Links, Method::GET, "/v1/links", Role::Viewer),
    (
        Op::WithdrawLink,
        Method::POST,
        "/v1/links/{id}/withdraw",
        Role::Admin,
    ),
    (Op::Profiles, Method::GET, "/v1/profiles", Role::Viewer),
    (
        Op::DeleteProfile,
        Method::POST,
        "/v1/profiles/{iccid}/delete",
        Role::Operator,
    ),
    (Op::Orders, Method::GET, "/v1/orders", Role::Viewer),
    (Op::AddOrder, Method::POST, "/v1/orders", Role::Operator),
    (Op::Order, Method::GET, "/v1/orders/{id}", Role::Viewer),
    (
        Op::ReplayOrder,
        Method::POST,
        "/v1/orders/{id}/replay",
        Role::Operator,
    ),
    (
        Op::CloseOrder,
        Method::POST,
        "/v1/orders/{id}/close",
        Role::Operator,
    ),
    (Op::Calls, Method::GET, "/v1/calls", Role::Viewer),
    (Op::Call, Method::GET, "/v1/calls/{id}", Role::Viewer),
    (
        Op::ReplayCall,
        Method::POST,
        "/v1/calls/{id}/replay",
        Role::Operator,
    ),
    (
        Op::DropCall,
        Method::POST,
        "/v1/calls/{id}/drop",
        Role::Operator,
    ),
    (Op::Audit, Method::GET, "/v1/audit", Role::Viewer),
    (Op::Msps, Method::GET, "/v1/msps", Role::Viewer),
    (
        Op::Correlation,
        Method::GET,
        "/v1/correlations/{id}",
        Role::Viewer,
    ),
    (Op::Webhooks, Method::GET, "/v1/webhooks", Role::Admin),
    (Op::AddWebhook, Method::POST, "/v1/webhooks", Role::Admin),
    (
        Op::RemoveWebhook,
        Method::POST,
        "/v1/webhooks/{id}/remove",
        Role::Admin,
    ),
];

/// What a method and a path stand for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An operation, who may call it, and the variable part of the path, decoded.
    Operation(Op, Role, String),
    /// The path has operations with this method only.
    Method(&'static str),
    /// There is no such path.
    Nothing,
}

/// Finds the operation of a request.
pub(super) fn find(method: &Method, path: &str) -> Found {
    let mut other = Found::Nothing;
    for (operation, wanted, template, role) in &OPERATIONS {
        let Some(variable) = variable(template, path) else {
            continue;
        };
        // A word that is a path of its own is nobody's name.
        if !variable.is_empty() && OPERATIONS.iter().any(|(_, _, fixed, _)| *fixed == path) {
            continue;
        }
        if wanted == method {
            return Found::Operation(*operation, *role, variable);
        }
        other = match (wanted == Method::GET, &other) {
            (true, Found::Nothing) => Found::Method("GET"),
            (false, Found::Nothing) => Found::Method("POST"),
            _ => Found::Method("GET, POST"),
        };
    }
    other
}

/// The variable part of a path that fits the template, decoded; empty where it has none.
fn variable(template: &str, path: &str) -> Option<String> {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    let mut variable = String::new();
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(variable),
            (Some(name), Some(text)) if name.starts_with('{') => {
                variable = decoded(text).filter(|text| !text.is_empty())?;
            }
            (Some(word), Some(text)) if word == text => {}
            _ => return None,
        }
    }
}

/// A text without its percent-encoding; none where that is malformed, or hides a control character.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        bytes.extend(hex::decode(digits).ok()?);
        rest = tail;
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_operations_and_words_are_nobodys_name() {
        let found = |method, path| find(&method, path);
        let is = |op, role, text: &str| Found::Operation(op, role, text.to_owned());
        assert_eq!(
            found(Method::GET, "/v1/users/zo%C3%AB%2Fx"),
            is(Op::User, Role::Viewer, "zoë/x")
        );
        assert_eq!(
            found(Method::POST, "/v1/vehicles/import"),
            is(Op::ImportVehicles, Role::Operator, "")
        );
        assert_eq!(
            found(Method::GET, "/v1/vehicles/import"),
            Found::Method("POST")
        );
        assert_eq!(
            found(Method::DELETE, "/v1/vehicles"),
            Found::Method("GET, POST")
        );
        for nothing in [
            "/v1",
            "/v1/",
            "/v1/vehicles/",
            "/v1/vehicles/a/b",
            "/v1/users/%",
            "/v1/users/%zz",
            "/v1/users/%00",
            "/v1/users/%ff",
            "//v1/users",
        ] {
            assert_eq!(found(Method::GET, nothing), Found::Nothing, "{nothing}");
        }
    }
}
