//! The car's API, which is a unix socket in the virtual machine, as a unix socket here: each connection is carried over the
//! port that QEMU forwards.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// Carries connections until the process ends.
pub(super) fn start(socket: &Path, port: u16) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // Without a machine the client sees the end of the connection.
            if let Ok(car) = TcpStream::connect(("127.0.0.1", port)) {
                let _ = carry(client, car);
            }
        }
    });
    Ok(())
}

/// Copies both ways, each on a thread of its own; the end of the car's side ends both, because a machine that was cut off
/// says no more.
fn carry(client: UnixStream, car: TcpStream) -> io::Result<()> {
    let (mut to_car, mut from_client) = (car.try_clone()?, client.try_clone()?);
    std::thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_car);
        let _ = to_car.shutdown(Shutdown::Write);
    });
    std::thread::spawn(move || {
        let (mut from_car, mut to_client) = (car, client);
        let _ = io::copy(&mut from_car, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    Ok(())
}
