"""Certificates with dates of their own, which ours never have."""
import datetime
import pathlib
import subprocess


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def aged_certificate(authority: dict, key: pathlib.Path, directory: pathlib.Path, name: str, extensions: str, days_ago: float,
                     days_left: float) -> pathlib.Path:
    """For key, signed by authority ({"certificate", "key"}, PEM); serial 4a01. directory is made."""
    directory.mkdir()
    for file, text in {"ca.pem": authority["certificate"], "ca.key": authority["key"], "index": "", "serial": "4A01\n",
                       "extensions": f"{extensions}\nbasicConstraints=CA:FALSE\n",
                       "openssl.cnf": f"[ca]\ndefault_ca=x\n[x]\ndatabase={directory}/index\nserial={directory}/serial\n"
                                      f"new_certs_dir={directory}\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n",
                       }.items():
        (directory / file).write_text(text)
    request, signed = directory / "request.pem", directory / "signed.pem"
    openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
    now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
    start, end = ((now + n * day).strftime("%Y%m%d%H%M%SZ") for n in (-days_ago, days_left))
    openssl("ca", "-batch", "-notext", "-config", directory / "openssl.cnf", "-in", request, "-out", signed, "-cert",
            directory / "ca.pem", "-keyfile", directory / "ca.key", "-extfile", directory / "extensions", "-startdate", start,
            "-enddate", end)
    return signed
