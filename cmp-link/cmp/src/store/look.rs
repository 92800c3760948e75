//! What pages, reports and metrics ask for beyond the model.

/// Which entries of the audit trail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Not older than this, Unix milliseconds.
    pub since: u64,
    /// By this actor only.
    pub actor: Option<String>,
    /// Whose detail has this text, such as an EID, an ICCID or a reference.
    pub about: Option<String>,
    /// At most so many; the newest.
    pub limit: u32,
}

/// A session of the portal as its user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Hash of its cookie.
    pub token_hash: String,
    /// Since when.
    pub created_at: u64,
    /// Until when.
    pub expires_at: u64,
    /// What the browser calls itself.
    pub browser: Option<String>,
}

/// Number of open pieces of work, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Orders without a result.
    pub open_orders: u64,
    /// When the oldest of them was given, Unix milliseconds.
    pub oldest_order: Option<u64>,
    /// Calls to MSPs that are due.
    pub due_calls: u64,
    /// When the oldest of them was made.
    pub oldest_call: Option<u64>,
    /// Calls that were given up.
    pub dead_calls: u64,
    /// Requests for activation codes without a result.
    pub open_requests: u64,
}
