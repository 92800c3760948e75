//! Writes the seeds of the fuzz target `port`: `cargo run -p aid-agent-hostile --example port-seeds -- DIR`
//! makes `DIR/port/seed-NNN`.
use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let Some(dir) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err(std::io::Error::other("usage: port-seeds DIR"));
    };
    let folder = dir.join("port");
    std::fs::create_dir_all(&folder)?;
    for (number, seed) in aid_agent_hostile::port::seeds().into_iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number:03}")), seed)?;
    }
    Ok(())
}
