#!/bin/sh
# Makes the certificates of these tests anew: an authority, and for each fault one with its key. They protect nothing.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
touch "$work/index"
cat > "$work/ca.conf" <<END
[ca]
default_ca = here
[here]
database = $work/index
new_certs_dir = $work
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
END

new_key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }

# NAME SUBJECT_ALT_NAMES FROM UNTIL: signed by the authority
issue() {
    new_key "$work/$1.key"
    openssl req -new -key "$work/$1.key" -subj "/CN=test $1" -addext "subjectAltName=$2" -out "$work/$1.csr"
    openssl ca -batch -notext -config "$work/ca.conf" -cert authority.pem -keyfile "$work/authority.key" \
        -in "$work/$1.csr" -startdate "$3" -enddate "$4" -out "$work/$1.crt" 2> /dev/null
    cat "$work/$1.key" "$work/$1.crt" > "$1.pem"
}

here=DNS:localhost,IP:127.0.0.1
new_key "$work/authority.key"
openssl req -x509 -key "$work/authority.key" -subj "/CN=test authority" -days 36500 \
    -addext keyUsage=critical,keyCertSign -out authority.pem
new_key "$work/self.key"
openssl req -x509 -key "$work/self.key" -subj "/CN=test self" -days 36500 -addext "subjectAltName=$here" -out "$work/self.crt"
cat "$work/self.key" "$work/self.crt" > self-signed.pem
issue good "$here" 20200101000000Z 21200101000000Z
issue expired "$here" 20200101000000Z 20210101000000Z
issue future "$here" 21100101000000Z 21200101000000Z
issue other-host DNS:elsewhere.example 20200101000000Z 21200101000000Z
