//! A name server of one name, within the process that asks: no test may depend on what the
//! machine's own name leads to.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Answers for `BEARWARD_TEST_NAME` as the system does for `BEARWARD_TEST_ADDRESS`.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

typedef int (*lookup)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
    lookup system = (lookup)dlsym(RTLD_NEXT, "getaddrinfo");
    const char *name = getenv("BEARWARD_TEST_NAME");
    if (node && name && strcmp(node, name) == 0)
        node = getenv("BEARWARD_TEST_ADDRESS");
    return system(node, service, hints, found);
}
"#;

/// Builds the library to start a process with. Whoever builds this package has a C compiler.
pub(crate) fn build_in(dir: &Path) -> PathBuf {
    std::fs::write(dir.join("names.c"), SOURCE).expect("the directory is writable");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o", "names.so", "names.c", "-ldl"])
        .current_dir(dir)
        .output()
        .expect("a C compiler");
    assert!(compiled.status.success(), "{compiled:?}");
    dir.join("names.so")
}
