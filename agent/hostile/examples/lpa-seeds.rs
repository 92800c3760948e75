//! Writes the seeds of the fuzz target `lpa`: `cargo run -p aid-agent-hostile --example seeds -- DIR`
//! makes `DIR/lpa/seed-NNN`.
use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let Some(dir) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err(std::io::Error::other("usage: seeds DIR"));
    };
    let folder = dir.join("lpa");
    std::fs::create_dir_all(&folder)?;
    for (number, seed) in aid_agent_hostile::seeds().into_iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number:03}")), seed)?;
    }
    Ok(())
}
