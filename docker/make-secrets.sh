#!/usr/bin/env bash
# What compose.secure.yml mounts: an authority, a certificate for each of the nodes n1, n2 and n3, and a token that may do
# everything. Needs OpenSSL 3 and the image.
#
#   docker/make-secrets.sh DIRECTORY
#
#   IMAGE   the image, logboom by default
set -euo pipefail
umask 077

directory=${1:?usage: docker/make-secrets.sh DIRECTORY}
# User and group of the image.
owner=1000:1000
days=365

[[ ! -e $directory ]] || { echo "$directory exists already" >&2; exit 1; }
mkdir -p "$directory/authority"
cd "$directory"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj '/CN=Logboom CA' \
  -keyout authority/ca.key -out authority/ca.pem 2>authority/log

docker run --rm --network none --user "$(id -u):$(id -g)" --volume "$PWD/authority:/out" "${IMAGE:-logboom}" \
  token create --name ops --grant 'append,read,admin:*' --cluster read,admin --add-to /out/tokens.yaml >authority/ops.token

for node in n1 n2 n3; do
  mkdir "$node"
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$node" \
    -addext "subjectAltName=DNS:$node,DNS:localhost,IP:127.0.0.1" -keyout "$node/node.key" -out "authority/$node.csr" 2>>authority/log
  openssl x509 -req -in "authority/$node.csr" -CA authority/ca.pem -CAkey authority/ca.key -CAcreateserial -days "$days" \
    -copy_extensions copy -out "$node/node.pem" 2>>authority/log
  cp authority/ca.pem authority/tokens.yaml "$node/"
done
mkdir client
cp authority/ca.pem authority/ops.token client/

# Who is neither root nor that user has to give the files away by other means.
chown -R "$owner" n1 n2 n3 client 2>/dev/null || [[ $(id -u):$(id -g) == "$owner" ]] ||
  echo "let user $owner read n1, n2, n3 and client" >&2
echo "made $PWD; keep authority/ elsewhere, and offline"
