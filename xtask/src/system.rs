//! Programs that the system brings: found on PATH, else installed with `apt-get`.

use crate::install::{Outcome, python_packages_are_there, step};
use crate::process::{LONG, QUICK, run_captured};
use crate::project::Project;
use crate::tools::{Source, TOOLS, Tool};
use anyhow::{Context, Result, bail, ensure};
use std::ffi::OsString;

/// The tool of the table that is called `name`.
///
/// # Errors
/// If the table has none: our mistake.
pub fn tool(name: &str) -> Result<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == name).with_context(|| format!("the table of tools has no {name}"))
}

/// Installs the packages of all missing programs in one go, if there are any.
///
/// # Errors
/// If there is no `apt-get`, no right to use it, or it fails; with what to type.
pub fn install_packages(project: &Project) -> Result<()> {
    let missing: Vec<&Tool> = TOOLS
        .iter()
        .filter(|tool| matches!(tool.source, Source::System { .. }) && named(tool).is_none())
        .filter(|tool| check(project, tool).is_err())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.iter().flat_map(|tool| match tool.source {
        Source::System { packages, .. } => packages,
        _ => &[],
    });
    let packages: Vec<&str> = packages.copied().collect();
    step("system packages", &packages.join(" "), || {
        apt_get(project, &packages)
            .with_context(|| missing.iter().map(|tool| advice(tool)).collect::<Vec<_>>().join("; "))
    })
}

fn apt_get(project: &Project, packages: &[&str]) -> Result<Outcome> {
    let by_hand = format!("apt-get update && apt-get install -y {}", packages.join(" "));
    if run_captured(project.command("apt-get").arg("--version"), QUICK).is_err() {
        bail!("there is no apt-get here; install these in your system's way: {}", packages.join(" "));
    }
    let is_root = run_captured(project.command("id").arg("-u"), QUICK).is_ok_and(|id| id.trim() == "0");
    let sudo: &[&str] = if is_root { &[] } else { &["sudo", "-n"] };
    let may_sudo = || run_captured(project.command("sudo").args(["-n", "true"]), QUICK).is_ok();
    if !is_root && !may_sudo() {
        bail!("that needs an administrator; type: sudo sh -c '{by_hand}'");
    }
    let install = [&["install", "-y", "--no-install-recommends"], packages].concat();
    for arguments in [&["update"][..], &install] {
        // `env`, since sudo does not hand variables on.
        let words =
            [sudo, &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=120"]];
        let words = [&words.concat()[..], arguments].concat();
        run_captured(project.command(words[0]).args(&words[1..]), LONG)?;
    }
    Ok(Outcome::Installed)
}

/// Says whether a system tool is there, or not needed.
///
/// # Errors
/// As [`find`].
pub fn check(project: &Project, tool: &Tool) -> Result<Outcome> {
    // Python makes the environment, and is not needed again.
    if tool.name != "python3" || !python_packages_are_there(project) {
        find(project, tool)?;
    }
    Ok(Outcome::Present)
}

/// The program of a system tool: the first one that answers with an accepted version.
///
/// # Errors
/// If there is none, with what to do.
pub fn find(project: &Project, tool: &Tool) -> Result<OsString> {
    let Source::System { programs, probe, .. } = &tool.source else {
        bail!("{} is no system tool", tool.name);
    };
    let answers = |program: &OsString| {
        let said = run_captured(project.command(program).args(*probe), QUICK);
        said.is_ok_and(|output| tool.version.accepts(&output))
    };
    if let Some((variable, program)) = named(tool) {
        ensure!(answers(&program), "{variable} is {program:?}, which is not {} {}", tool.name, tool.version);
        return Ok(program);
    }
    programs.iter().map(OsString::from).find(answers).with_context(|| advice(tool))
}

/// The program of a system tool that is no part of the table, installed if it is missing.
///
/// # Errors
/// If it is not there and cannot be installed: why.
pub fn find_or_install(project: &Project, tool: &Tool) -> Result<OsString> {
    let Source::System { packages, .. } = tool.source else { bail!("{} is no system tool", tool.name) };
    match find(project, tool) {
        // Whoever names another program does not want the package.
        Err(_) if named(tool).is_none() => {}
        found => return found,
    }
    step("system packages", &packages.join(" "), || apt_get(project, packages))?;
    find(project, tool)
}

/// The environment variable that names the program, with its value.
fn named(tool: &Tool) -> Option<(&'static str, OsString)> {
    let Source::System { variable: Some(variable), .. } = tool.source else { return None };
    Some((variable, std::env::var_os(variable).filter(|value| !value.is_empty())?))
}

/// What is missing, and how to get it without us.
fn advice(tool: &Tool) -> String {
    let Source::System { variable, programs, packages, .. } = &tool.source else { return String::new() };
    let (names, package) = (programs.join(", "), packages.join(" "));
    let mut advice =
        format!("none of {names} on PATH is {} {}, Debian's package {package}", tool.name, tool.version);
    if let Some(variable) = variable {
        // Ubuntu's package is a stub that only points to a snap.
        advice +=
            &format!(" (on Ubuntu: `snap install {}`, or Google Chrome, named in {variable})", tool.name);
    }
    advice
}
