//! `cargo xtask check`: everything that can be said of the sources without running them.

use crate::{XtaskError, process};

struct Step {
    arguments: &'static [&'static str],
    environment: Option<(&'static str, &'static str)>,
}

const STEPS: &[Step] = &[
    Step { arguments: &["fmt", "--all", "--check"], environment: None },
    Step {
        arguments: &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
        environment: None,
    },
    Step {
        arguments: &["doc", "--workspace", "--no-deps"],
        environment: Some(("RUSTDOCFLAGS", "-D warnings")),
    },
    // Above the kernel line the loader is no_std: a file, a clock or a descriptor there does not compile.
    Step { arguments: &["check", "--package", "rxdp-loader", "--no-default-features"], environment: None },
    Step {
        arguments: &["check", "--package", "rxdp-dispatcher", "--no-default-features"],
        environment: None,
    },
    // Alone it stands on that part of the loader: what is below the line does not compile in it.
    Step { arguments: &["check", "--package", "rxdp-explain"], environment: None },
];

/// What `rustup` calls the parts of a toolchain that a minimal installation leaves out.
const COMPONENTS: &[(&str, &str)] = &[("fmt", "rustfmt"), ("clippy", "clippy")];

/// Runs all steps; stops at the first that fails.
///
/// # Errors
/// [`XtaskError::Failed`] with the step's command line.
pub fn run() -> Result<(), XtaskError> {
    install_components()?;
    for step in STEPS {
        process::run(process::cargo().args(step.arguments).envs(step.environment))?;
    }
    Ok(())
}

fn install_components() -> Result<(), XtaskError> {
    for (command, component) in COMPONENTS {
        if process::succeeds(process::cargo().args([command, "--version"])) {
            continue;
        }
        process::run(
            std::process::Command::new("rustup")
                .args(["component", "add", component])
                .current_dir(crate::root()),
        )?;
    }
    Ok(())
}
