//! Writes the seeds of the fuzz target `api`: `cargo run -p aid-agent-hostile --example api-seeds -- DIR`
//! makes `DIR/api/seed-NNN`.
use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let Some(dir) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err(std::io::Error::other("usage: api-seeds DIR"));
    };
    let folder = dir.join("api");
    std::fs::create_dir_all(&folder)?;
    for (number, seed) in aid_agent_hostile::api::seeds().into_iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number:03}")), seed)?;
    }
    Ok(())
}
