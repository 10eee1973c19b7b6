
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Writes the seeds of all targets, those of fuzz_packet from the tables of the
 * unit tests:
 *
 *     cc -DNGX_MQTT_STANDALONE=1 -Ingx_mqtt_module/wire -It/unit \
 *         t/fuzz/make_corpus.c -o make_corpus
 *     ./make_corpus t/fuzz/corpus
 *
 * Valid packets only, and a refused one now and then: the fuzzer finds more
 * of these by itself.
 */


#include <ctype.h>

#include "bytes.h"
#include "ngx_mqtt_wire.h"
#include "packet_rows.h"


static const char  *props[][2] = {
    { "00", "{01 01 02 0000003c 03 <ct> 08 <r> 09 <c> 18 00000001 26<k><v>}" },
    { "01", "{11 00000001 15 <M> 16 <D> 17 01 19 01 21 0001 22 0001}" },
    { "01", "{27 00000001 26 <k> <v>}" },
    { "02", "{11 00000001 12 <id> 13 0001 15 <M> 16 <D> 1a <i> 1c <s>}" },
    { "02", "{21 0001 22 0001 24 01 25 01 26 <k> <v> 27 00000001 28 01}" },
    { "02", "{1f <r> 29 01 2a 01}" },
    { "03", "{01 00 02 00000001 03 <t> 08 <r> 09 <c> 0b 01 0b ff7f 23 0001}" },
    { "03", "{26 <k> <v> 0b 05 03 <t> 26 <x> <y> 0b 06 01 00}" },
    { "04", "{1f <why> 26 <k> <v>}" },
    { "08", "{0b ffffff7f 26 <k> <v>}" },
    { "0e", "{11 00000001 1c <s> 1f <r> 26 <k> <v>}" },
    { "0f", "{15 <M> 16 <D> 1f <r> 26 <k> <v>}" },
    { "03", "{}" },
    { "03", "{26 <\xc3\xa9> <\xf0\x9f\x9a\x97>}" },
    { "03", "{01 00 01 00}" },
    { "03", "{04 00}" },
    { "01", "8000" }
};


static const char  *topics[] = {
    "'sport/tennis/player1/#' 00 'sport/tennis/player1'",
    "'sport/#' 00 'sport'",
    "'sport/+' 00 'sport/'",
    "'+/+' 00 '/finance'",
    "'#' 00 '$SYS/x'",
    "'$SYS/+' 00 '$SYS/x'",
    "'a/+/c' 00 'a/b/c'",
    "'+/#' 00 'a'",
    "'a//b/' 00 'a//b/'",
    "'$share/g/a/+' 00 'a/b'",
    "'$share//a' 00 'a'",
    "'$share/+/a' 00 'a'",
    "'$share/g/' 00 'a'",
    "'a/b#' 00 'a/b'",
    "'a/#/b' 00 'a/x/b'",
    "'+a' 00 'xa'",
    "00 'a'",
    "'telemetry/GID_cars@@@vin-001/engine/rpm'"
};


/* of fuzz_ws: what it is, how it is split, then the bytes */

static const char  *frames[] = {
    "00 00 82 83 00000000 'abc'",
    "00 01 02 81 01020304 'a' 89 81 01020304 'b' 80 81 01020304 'c'",
    "00 02 82 fe 0080 00000000",
    "00 03 82 ff 0000000000010000 00000000",
    "00 04 8a 80 00000000 88 82 00000000 03e8",
    "00 05 81 80 00000000",
    "01 00 'GET /mqtt HTTP/1.1' 0d0a 'Host: a' 0d0a 'Upgrade: websocket' 0d0a"
    "'Connection: Upgrade' 0d0a 'Origin: https://a' 0d0a"
    "'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' 0d0a"
    "'Sec-WebSocket-Version: 13' 0d0a 'Sec-WebSocket-Protocol: mqtt' 0d0a"
    "0d0a",
    "01 00 'GET http://a/mqtt?b HTTP/1.1' 0d0a 'Host: a' 0d0a 0d0a",
    "01 00 'OPTIONS * HTTP/1.0' 0d0a 'Host: https://*.a' 0d0a"
    "'Content-Length: 1' 0d0a 'Origin: https://b.a' 0d0a 0d0a"
};


/* see fuzz_downlink.c: a number or a name, a value, and so on */

static const char  *downlinks[] = {
    "00 01'2' 02 0b'/engine/rpm'",
    "02 06'/p2p/x' 01 05'false' 03 02'/b'",
    "02 07'p2p/a+b' 03 03'x/y'",
    "05 04'true' 06 01'1' 07 03'100' 08 04'text' 09 03'a/b' 0a 0200ff",
    "04 05'fleet'",
    "04 05'other' 0b 01'x'",
    "20'abcdefghijklmnopqrstuvwxyz012345' 02 c3a4",
    "00 ff 02 ff",
    "02 04'/a/#'",
    "03 02c3a4"
};


static void
write_seed(const char *dir, const char *name, const u_char *data, size_t len)
{
    char   path[512];
    FILE  *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);

    f = fopen(path, "wb");

    if (f == NULL || fwrite(data, 1, len, f) != len || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}


static void
write_packets(const char *root)
{
    char           dir[256], name[128], *p;
    u_char         bytes[4096];
    size_t         i, len;
    const char    *s;
    packet_row_t  *row;

    snprintf(dir, sizeof(dir), "%s/fuzz_packet", root);

    for (i = 0; i < PACKET_ROWS; i++) {
        row = &packet_rows[i];

        if (row->reason && i % 8) {
            continue;
        }

        /* a version out of 3 .. 5, and no cut: see fuzz_packet.c */

        bytes[0] = (row->version >= 3 && row->version <= 5)
                   ? (u_char) (row->version - 3) : 1;
        len = 1 + bytes_parse(row->bytes, bytes + 1);

        p = name + snprintf(name, sizeof(name), "%03zu_", i);

        for (s = row->name; *s && *s != ' '; s++) {
            *p++ = (char) tolower(*s);
        }

        *p = '\0';

        write_seed(dir, name, bytes, len);
    }
}


static void
write_props(const char *root)
{
    char    dir[256], name[64], text[512];
    u_char  bytes[512];
    size_t  i;

    snprintf(dir, sizeof(dir), "%s/fuzz_props", root);

    for (i = 0; i < sizeof(props) / sizeof(props[0]); i++) {
        snprintf(text, sizeof(text), "%s %s", props[i][0], props[i][1]);
        snprintf(name, sizeof(name), "%03zu", i);
        write_seed(dir, name, bytes, bytes_parse(text, bytes));
    }
}


static void
write_topics(const char *root)
{
    char    dir[256], name[64];
    u_char  bytes[512];
    size_t  i;

    snprintf(dir, sizeof(dir), "%s/fuzz_topic", root);

    for (i = 0; i < sizeof(topics) / sizeof(topics[0]); i++) {
        snprintf(name, sizeof(name), "%03zu", i);
        write_seed(dir, name, bytes, bytes_parse(topics[i], bytes));
    }
}


static void
write_frames(const char *root)
{
    char    dir[256], name[64];
    u_char  bytes[512];
    size_t  i;

    snprintf(dir, sizeof(dir), "%s/fuzz_ws", root);

    for (i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        snprintf(name, sizeof(name), "%03zu", i);
        write_seed(dir, name, bytes, bytes_parse(frames[i], bytes));
    }
}


static void
write_downlinks(const char *root)
{
    char    dir[256], name[64];
    u_char  bytes[512];
    size_t  i;

    snprintf(dir, sizeof(dir), "%s/fuzz_downlink", root);

    for (i = 0; i < sizeof(downlinks) / sizeof(downlinks[0]); i++) {
        snprintf(name, sizeof(name), "%03zu", i);
        write_seed(dir, name, bytes, bytes_parse(downlinks[i], bytes));
    }
}


int
main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: make_corpus directory\n");
        return 1;
    }

    write_packets(argv[1]);
    write_props(argv[1]);
    write_topics(argv[1]);
    write_frames(argv[1]);
    write_downlinks(argv[1]);

    return 0;
}
