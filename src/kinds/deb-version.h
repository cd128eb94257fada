#pragma once
/* Order of Debian package versions. */

/* Below, equal to or above zero as a is older than, as old as, or newer than b. The algorithm of
 * deb-version(7): epoch, upstream version, revision; "~" sorts before the end of a part. */
int deb_version_compare(const char *a, const char *b);
