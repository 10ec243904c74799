# What ./run and ./test share: say what is done, install what is missing, never ask.
say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
fail() { printf '\033[31m%s\033[0m\n' "$*" >&2; exit 1; }

need_rust() {
    command -v cargo >/dev/null 2>&1 || {
        [ -x "$HOME/.cargo/bin/cargo" ] && export PATH="$HOME/.cargo/bin:$PATH"
    }
    command -v cargo >/dev/null 2>&1 ||
        fail "The Rust toolchain is missing: install Rust 1.95 or later, then run this again."
}

# need_packages COMMAND:PACKAGE …  installs the packages whose command is missing.
need_packages() {
    local missing=() pair command package
    for pair in "$@"; do
        command=${pair%%:*}
        package=${pair#*:}
        have "$command" || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    local line="apt-get install -y --no-install-recommends ${missing[*]}"
    if [ "$(id -u)" = 0 ]; then
        say "Installing: ${missing[*]}"
        apt_get "" "${missing[@]}"
    elif sudo -n true 2>/dev/null; then
        say "Installing with sudo: ${missing[*]}"
        apt_get "sudo -n" "${missing[@]}"
    else
        fail "Some packages are missing. Type this line, then run this again:
    sudo $line"
    fi
}

apt_get() {
    local sudo=$1
    shift
    # Services that a package would start are not wanted: the tests start their own, on their own ports.
    $sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get update -qq >&2
    $sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "$@" >&2 </dev/null
}

# A command on PATH, in /usr/sbin, or (given as a path or pattern) a file.
have() {
    case $1 in
    /*) compgen -G "$1" >/dev/null ;;
    *) command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] ;;
    esac
}
