//! TCP connections for the HTTPS port: bound to an admin bearer (R-2-12), without delay, counted.

use crate::bearer::Bearers;
use crate::meter::Meter;
use aid_id::smdp_address::{NotPublic, is_public};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

/// Longest wait for one address of a server.
const CONNECT: Duration = Duration::from_secs(15);
/// Shortest: what a bearer gets after others have used up the time.
const LEAST: Duration = Duration::from_millis(500);

/// Opens connections through the first bearer that carries them.
#[derive(Debug)]
pub(crate) struct BearerConnector {
    bearers: Arc<Bearers>,
    /// Whether servers may be in private networks.
    private: bool,
    meter: Arc<dyn Meter>,
}

impl BearerConnector {
    pub(crate) fn new(bearers: Arc<Bearers>, private: bool, meter: Arc<dyn Meter>) -> Self {
        Self {
            bearers,
            private,
            meter,
        }
    }

    /// Whatever a name resolves to: a public name may have a private address.
    fn may_reach(&self, to: IpAddr) -> bool {
        self.private || is_public(to)
    }
}

impl Connector for BearerConnector {
    type Out = Tcp;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Tcp>, ureq::Error> {
        let limit = details
            .timeout
            .not_zero()
            .map_or(CONNECT, |t| (*t).min(CONNECT));
        let end = Instant::now() + limit;
        let mut last = io::Error::other("the server has no address that this bearer reaches");
        let order = self.bearers.order(Instant::now());
        for (tried, &(n, bearer)) in order.iter().enumerate() {
            let left = end.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(order.len() - tried).unwrap_or(u32::MAX);
            let mut reached = false;
            let usable = |to: &&SocketAddr| self.may_reach(to.ip()) && bearer.speaks(to.ip());
            let usable = details.addrs.iter().filter(usable).count().max(1);
            // One address that swallows packets must not use up the others' time.
            let share = share / u32::try_from(usable).unwrap_or(u32::MAX);
            for to in &details.addrs {
                if !self.may_reach(to.ip()) {
                    last = io::Error::other(NotPublic::Private);
                    continue;
                }
                if !bearer.speaks(to.ip()) {
                    continue;
                }
                reached = true;
                // connect_timeout takes no zero.
                match bearer.connect(*to, share.max(LEAST)) {
                    Ok(stream) => {
                        self.bearers.connected(n);
                        let config = details.config;
                        let (input, output) =
                            (config.input_buffer_size(), config.output_buffer_size());
                        return Ok(Some(Tcp {
                            stream,
                            buffers: LazyBuffers::new(input, output),
                            meter: Arc::clone(&self.meter),
                        }));
                    }
                    Err(error) => last = error,
                }
            }
            if reached {
                self.bearers.failed(n, Instant::now());
            }
        }
        Err(ureq::Error::Io(last))
    }
}

/// One counted connection.
#[derive(Debug)]
pub(crate) struct Tcp {
    stream: TcpStream,
    buffers: LazyBuffers,
    meter: Arc<dyn Meter>,
}

fn timed_out(error: io::Error, timeout: NextTimeout) -> ureq::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ureq::Error::Timeout(timeout.reason),
        _ => ureq::Error::Io(error),
    }
}

impl Transport for Tcp {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let limit = timeout.for_write().not_zero().map(|t| *t);
        self.stream.set_write_timeout(limit)?;
        let output = &self.buffers.output()[..amount];
        self.stream
            .write_all(output)
            .map_err(|e| timed_out(e, timeout))?;
        self.meter.sent(amount as u64);
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let limit = timeout.for_read().not_zero().map(|t| *t);
        self.stream.set_read_timeout(limit)?;
        let input = self.buffers.input_append_buf();
        let amount = loop {
            match self.stream.read(input) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                result => break result.map_err(|e| timed_out(e, timeout))?,
            }
        };
        self.buffers.input_appended(amount);
        self.meter.received(amount as u64);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // An idle connection has nothing to read: data or an end mean that the server closes it.
        let quiet = self.stream.set_nonblocking(true).is_ok()
            && matches!(self.stream.peek(&mut [0]), Err(e) if e.kind() == io::ErrorKind::WouldBlock);
        quiet && self.stream.set_nonblocking(false).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Tally;

    #[test]
    fn a_name_with_a_private_address_is_not_reached() {
        let connector = |private| {
            BearerConnector::new(
                Arc::new(Bearers::new(Vec::new())),
                private,
                Arc::new(Tally::default()),
            )
        };
        for (address, public) in [
            ("8.8.8.8", true),
            ("2606:4700::1", true),
            ("127.0.0.1", false),
            ("10.0.0.1", false),
            ("169.254.169.254", false),
            ("::1", false),
            ("::ffff:192.168.0.1", false),
            ("fd00::1", false),
        ] {
            let address = address.parse().expect("address");
            assert_eq!(connector(false).may_reach(address), public, "{address}");
            assert!(connector(true).may_reach(address), "{address}");
        }
    }
}
