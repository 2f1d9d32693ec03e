#!/bin/sh
# Makes the authority and the certificates of a cluster's etcd, and keeps those
# that are there: certificates.sh DIR CLUSTER NAME-OR-ADDRESS...
# The names and addresses are those by which API servers, nodes and other clusters
# reach etcd. It needs openssl.
set -eu
[ $# -ge 3 ] || { echo "usage: $0 DIR CLUSTER NAME-OR-ADDRESS..." >&2; exit 1; }
dir=$1 cluster=$2
shift 2
umask 077
mkdir -p "$dir"
cd "$dir"

# etcd's names: what looks like an address is one.
names=DNS:localhost,IP:127.0.0.1
for name; do
  case $name in
  *[!0-9.]*) case $name in *:*) names=$names,IP:$name ;; *) names=$names,DNS:$name ;; esac ;;
  *) names=$names,IP:$name ;;
  esac
done

key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }

if [ ! -e ca.crt ]; then
  key ca
  openssl req -x509 -new -key ca.key -sha256 -days 7300 -subj "/CN=tombolo $cluster" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -out ca.crt
fi

# issue NAME USAGE [NAMES]: a user's name in etcd is the common name.
issue() {
  [ -e "$1.crt" ] && return
  key "$1"
  { echo "basicConstraints=critical,CA:FALSE"; echo "keyUsage=critical,digitalSignature"; echo "extendedKeyUsage=$2"
    [ -z "${3-}" ] || echo "subjectAltName=$3"; } >"$1.ext"
  openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -sha256 -days 1825 -extfile "$1.ext" -out "$1.crt" 2>/dev/null
  rm "$1.csr" "$1.ext"
}
issue etcd serverAuth,clientAuth "$names"
issue root clientAuth
issue node clientAuth
issue peer clientAuth
