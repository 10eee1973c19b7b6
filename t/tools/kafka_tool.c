
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Kafka for the tests: topics by the Admin API, records byte for byte.
 *
 *   kafka_tool BROKER ping TIMEOUT_MS
 *   kafka_tool BROKER create TOPIC PARTITIONS [NAME=VALUE ...]
 *   kafka_tool BROKER delete TOPIC ...
 *   kafka_tool BROKER offsets TOPIC
 *   kafka_tool BROKER committed GROUP TOPIC
 *   kafka_tool BROKER read TOPIC PARTITION OFFSET COUNT TIMEOUT_MS
 *   kafka_tool BROKER write TOPIC FILE
 *
 * A record is a line of fields that tabs separate, bytes in hexadecimal, "-"
 * for null:
 *
 *   read:   partition offset timestamp key value name=value,name=value...
 *   write:  partition key value name=value,name=value...
 *
 * PARTITION -1 is all of them (read) or the partitioner's choice (write).
 * "read" ends at the end of all partitions once it has seen COUNT records,
 * so that a duplicate behind the last one expected is seen too, or at the
 * timeout.  "write" prints the partition and the offset of every record.
 */


#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <time.h>
#include <librdkafka/rdkafka.h>


#define TIMEOUT          15000
#define MAX_PARTITIONS   1024


static int cmd_ping(char *broker, int argc, char **argv);
static int cmd_create(char *broker, int argc, char **argv);
static int cmd_delete(char *broker, int argc, char **argv);
static int cmd_offsets(char *broker, int argc, char **argv);
static int cmd_committed(char *broker, int argc, char **argv);
static int cmd_read(char *broker, int argc, char **argv);
static int cmd_write(char *broker, int argc, char **argv);


static struct {
    char   *name;
    int     min;
    int   (*handler)(char *broker, int argc, char **argv);
} commands[] = {
    { "ping", 1, cmd_ping },
    { "create", 2, cmd_create },
    { "delete", 1, cmd_delete },
    { "offsets", 1, cmd_offsets },
    { "committed", 2, cmd_committed },
    { "read", 5, cmd_read },
    { "write", 2, cmd_write },
    { NULL, 0, NULL }
};

static int  write_failed;


static long long
now_ms(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}


static void
die(const char *what, const char *why)
{
    fprintf(stderr, "kafka_tool: %s: %s\n", what, why);
    exit(1);
}


static void
set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char  errstr[256];

    if (rd_kafka_conf_set(conf, name, value, errstr, sizeof(errstr))
        != RD_KAFKA_CONF_OK)
    {
        die(name, errstr);
    }
}


static void
ignore_log(const rd_kafka_t *rk, int level, const char *fac, const char *buf)
{
}


static rd_kafka_conf_t *
new_conf(char *broker)
{
    rd_kafka_conf_t  *conf;

    conf = rd_kafka_conf_new();

    set(conf, "bootstrap.servers", broker);
    set(conf, "broker.address.family", "v4");
    set(conf, "reconnect.backoff.ms", "20");
    set(conf, "reconnect.backoff.max.ms", "100");
    set(conf, "topic.metadata.refresh.fast.interval.ms", "20");

    rd_kafka_conf_set_log_cb(conf, ignore_log);

    return conf;
}


static rd_kafka_t *
new_handle(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    char         errstr[256];
    rd_kafka_t  *rk;

    rk = rd_kafka_new(type, conf, errstr, sizeof(errstr));
    if (rk == NULL) {
        die("rd_kafka_new()", errstr);
    }

    return rk;
}


/*
 * Waits until every partition of a topic has a leader, partitions = 0 for any
 * number of them; returns how many there are, 0 on timeout.
 */

static int
wait_topic(rd_kafka_t *rk, const char *name, int partitions, int timeout)
{
    int                             i, n, ready;
    long long                       end;
    rd_kafka_topic_t               *rkt;
    const rd_kafka_metadata_t      *md;
    const rd_kafka_metadata_topic_t  *t;

    rkt = rd_kafka_topic_new(rk, name, NULL);
    end = now_ms() + timeout;
    n = 0;

    do {
        if (rd_kafka_metadata(rk, 0, rkt, &md, 1000)
            != RD_KAFKA_RESP_ERR_NO_ERROR)
        {
            continue;
        }

        t = &md->topics[0];
        ready = (md->topic_cnt == 1 && t->err == RD_KAFKA_RESP_ERR_NO_ERROR
                 && t->partition_cnt > 0
                 && (partitions == 0 || t->partition_cnt == partitions));

        for (i = 0; ready && i < t->partition_cnt; i++) {
            if (t->partitions[i].leader < 0) {
                ready = 0;
            }
        }

        n = ready ? t->partition_cnt : 0;

        rd_kafka_metadata_destroy(md);

        if (n) {
            break;
        }

        rd_kafka_poll(rk, 20);

    } while (now_ms() < end);

    rd_kafka_topic_destroy(rkt);

    return n;
}


static int
cmd_ping(char *broker, int argc, char **argv)
{
    int                         ok;
    long long                   end;
    rd_kafka_t                 *rk;
    const rd_kafka_metadata_t  *md;

    rk = new_handle(RD_KAFKA_PRODUCER, new_conf(broker));
    end = now_ms() + atoi(argv[0]);
    ok = 0;

    while (!ok && now_ms() < end) {
        if (rd_kafka_metadata(rk, 0, NULL, &md, 500)
            == RD_KAFKA_RESP_ERR_NO_ERROR)
        {
            ok = md->broker_cnt > 0;
            rd_kafka_metadata_destroy(md);
        }
    }

    rd_kafka_destroy(rk);

    return ok ? 0 : 1;
}


static void
check_topic_result(const rd_kafka_topic_result_t *res)
{
    if (rd_kafka_topic_result_error(res) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        die(rd_kafka_topic_result_name(res),
            rd_kafka_err2str(rd_kafka_topic_result_error(res)));
    }
}


static int
cmd_create(char *broker, int argc, char **argv)
{
    int                     i, partitions;
    char                   *value, errstr[256];
    size_t                  n;
    rd_kafka_t             *rk;
    rd_kafka_queue_t       *queue;
    rd_kafka_event_t       *event;
    rd_kafka_NewTopic_t    *topic;
    const rd_kafka_topic_result_t  **res;

    partitions = atoi(argv[1]);

    rk = new_handle(RD_KAFKA_PRODUCER, new_conf(broker));
    queue = rd_kafka_queue_new(rk);

    topic = rd_kafka_NewTopic_new(argv[0], partitions, 1, errstr,
                                  sizeof(errstr));
    if (topic == NULL) {
        die(argv[0], errstr);
    }

    for (i = 2; i < argc; i++) {
        value = strchr(argv[i], '=');
        if (value == NULL) {
            die(argv[i], "no \"=\"");
        }

        *value++ = '\0';
        rd_kafka_NewTopic_set_config(topic, argv[i], value);
    }

    rd_kafka_CreateTopics(rk, &topic, 1, NULL, queue);

    event = rd_kafka_queue_poll(queue, TIMEOUT);
    if (event == NULL) {
        die(argv[0], "no answer");
    }

    if (rd_kafka_event_error(event)) {
        die(argv[0], rd_kafka_event_error_string(event));
    }

    res = rd_kafka_CreateTopics_result_topics(
                            rd_kafka_event_CreateTopics_result(event), &n);
    check_topic_result(res[0]);

    rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy(topic);

    if (!wait_topic(rk, argv[0], partitions, TIMEOUT)) {
        die(argv[0], "created but has no leader");
    }

    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);

    return 0;
}


static int
cmd_delete(char *broker, int argc, char **argv)
{
    int                      i;
    size_t                   n, j;
    rd_kafka_t              *rk;
    rd_kafka_queue_t        *queue;
    rd_kafka_event_t        *event;
    rd_kafka_DeleteTopic_t **topics;
    const rd_kafka_topic_result_t  **res;

    rk = new_handle(RD_KAFKA_PRODUCER, new_conf(broker));
    queue = rd_kafka_queue_new(rk);

    topics = calloc(argc, sizeof(rd_kafka_DeleteTopic_t *));
    if (topics == NULL) {
        die("calloc()", strerror(errno));
    }

    for (i = 0; i < argc; i++) {
        topics[i] = rd_kafka_DeleteTopic_new(argv[i]);
    }

    rd_kafka_DeleteTopics(rk, topics, argc, NULL, queue);

    event = rd_kafka_queue_poll(queue, TIMEOUT);
    if (event == NULL) {
        die("delete", "no answer");
    }

    if (rd_kafka_event_error(event)) {
        die("delete", rd_kafka_event_error_string(event));
    }

    res = rd_kafka_DeleteTopics_result_topics(
                            rd_kafka_event_DeleteTopics_result(event), &n);
    for (j = 0; j < n; j++) {
        check_topic_result(res[j]);
    }

    rd_kafka_event_destroy(event);
    rd_kafka_DeleteTopic_destroy_array(topics, argc);
    free(topics);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);

    return 0;
}


static int
cmd_offsets(char *broker, int argc, char **argv)
{
    int                  i, n;
    int64_t              low, high;
    rd_kafka_t          *rk;
    rd_kafka_resp_err_t  err;

    rk = new_handle(RD_KAFKA_CONSUMER, new_conf(broker));

    n = wait_topic(rk, argv[0], 0, TIMEOUT);
    if (n == 0) {
        die(argv[0], "no such topic");
    }

    for (i = 0; i < n; i++) {
        err = rd_kafka_query_watermark_offsets(rk, argv[0], i, &low, &high,
                                               TIMEOUT);
        if (err) {
            die(argv[0], rd_kafka_err2str(err));
        }

        printf("%d\t%lld\t%lld\n", i, (long long) low, (long long) high);
    }

    rd_kafka_destroy(rk);

    return 0;
}


/* what a consumer group has committed, -1: nothing */

static int
cmd_committed(char *broker, int argc, char **argv)
{
    int                               i, n;
    rd_kafka_t                       *rk;
    rd_kafka_conf_t                  *conf;
    rd_kafka_resp_err_t               err;
    rd_kafka_topic_partition_list_t  *list;

    conf = new_conf(broker);
    set(conf, "group.id", argv[0]);

    rk = new_handle(RD_KAFKA_CONSUMER, conf);

    n = wait_topic(rk, argv[1], 0, TIMEOUT);
    if (n == 0) {
        die(argv[1], "no such topic");
    }

    list = rd_kafka_topic_partition_list_new(n);

    for (i = 0; i < n; i++) {
        rd_kafka_topic_partition_list_add(list, argv[1], i);
    }

    err = rd_kafka_committed(rk, list, TIMEOUT);
    if (err) {
        die(argv[1], rd_kafka_err2str(err));
    }

    for (i = 0; i < n; i++) {
        printf("%d\t%lld\n", i,
               list->elems[i].offset < 0
               ? -1 : (long long) list->elems[i].offset);
    }

    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(rk);

    return 0;
}


static void
print_hex(const void *data, size_t len)
{
    size_t               i;
    const unsigned char *p;

    static char  hex[] = "0123456789abcdef";

    if (data == NULL) {
        putchar('-');
        return;
    }

    p = data;

    for (i = 0; i < len; i++) {
        putchar(hex[p[i] >> 4]);
        putchar(hex[p[i] & 0xf]);
    }
}


static void
print_record(rd_kafka_message_t *m)
{
    size_t               i, len;
    const char          *name;
    const void          *value;
    rd_kafka_headers_t  *headers;

    printf("%d\t%lld\t%lld\t", m->partition, (long long) m->offset,
           (long long) rd_kafka_message_timestamp(m, NULL));

    print_hex(m->key, m->key_len);
    putchar('\t');
    print_hex(m->payload, m->len);
    putchar('\t');

    if (rd_kafka_message_headers(m, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {

        for (i = 0;
             rd_kafka_header_get_all(headers, i, &name, &value, &len)
             == RD_KAFKA_RESP_ERR_NO_ERROR;
             i++)
        {
            if (i) {
                putchar(',');
            }

            print_hex(name, strlen(name));
            putchar('=');
            print_hex(value, len);
        }
    }

    putchar('\n');
}


static int
cmd_read(char *broker, int argc, char **argv)
{
    int                  i, n, partition, ends, seen, wanted;
    char                 at_end[MAX_PARTITIONS];
    int64_t              offset;
    long long            end;
    rd_kafka_t          *rk;
    rd_kafka_conf_t     *conf;
    rd_kafka_message_t  *m;
    rd_kafka_topic_partition_list_t  *list;

    partition = atoi(argv[1]);
    offset = atoll(argv[2]);
    wanted = atoi(argv[3]);
    end = now_ms() + atoi(argv[4]);

    conf = new_conf(broker);

    set(conf, "group.id", "kafka_tool");
    set(conf, "enable.auto.commit", "false");
    set(conf, "enable.partition.eof", "true");
    set(conf, "auto.offset.reset", "earliest");
    set(conf, "check.crcs", "true");
    set(conf, "fetch.wait.max.ms", "20");

    rk = new_handle(RD_KAFKA_CONSUMER, conf);
    rd_kafka_poll_set_consumer(rk);

    n = wait_topic(rk, argv[0], 0, atoi(argv[4]));
    if (n == 0 || n > MAX_PARTITIONS || partition >= n) {
        die(argv[0], "no such topic or partition");
    }

    list = rd_kafka_topic_partition_list_new(n);

    for (i = 0; i < n; i++) {
        if (partition == -1 || partition == i) {
            rd_kafka_topic_partition_list_add(list, argv[0], i)->offset =
                                offset ? offset : RD_KAFKA_OFFSET_BEGINNING;
        }
    }

    memset(at_end, 0, sizeof(at_end));
    n = list->cnt;
    ends = 0;
    seen = 0;

    rd_kafka_assign(rk, list);

    while ((ends < n || seen < wanted) && now_ms() < end) {

        m = rd_kafka_consumer_poll(rk, 20);
        if (m == NULL) {
            continue;
        }

        if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            ends += !at_end[m->partition];
            at_end[m->partition] = 1;

        } else if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            ends -= at_end[m->partition];
            at_end[m->partition] = 0;
            seen++;
            print_record(m);
        }

        rd_kafka_message_destroy(m);
    }

    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);

    if (ends < n) {
        die(argv[0], "timed out before the end of all partitions");
    }

    return 0;
}


/* decodes in place; NULL for "-" */

static char *
read_hex(char *text, size_t *len)
{
    char          *p, *out;
    unsigned int   byte;

    *len = 0;

    if (strcmp(text, "-") == 0) {
        return NULL;
    }

    out = text;

    for (p = text; *p; p += 2) {
        if (p[1] == '\0' || sscanf(p, "%2x", &byte) != 1) {
            die(p, "not hexadecimal");
        }

        *out++ = byte;
    }

    *len = out - text;
    *out = '\0';

    return text;
}


static void
delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    if (m->err) {
        if (!write_failed) {
            fprintf(stderr, "kafka_tool: %s\n", rd_kafka_err2str(m->err));
            write_failed = 1;
        }

        return;
    }

    printf("%d\t%lld\n", m->partition, (long long) m->offset);
}


static void
write_record(rd_kafka_t *rk, const char *topic, char *line)
{
    char                *field[4], *name, *value, *rest, *data;
    size_t               key_len, value_len, len, data_len;
    unsigned             i;
    rd_kafka_headers_t  *headers;
    rd_kafka_resp_err_t  err;

    line[strcspn(line, "\n")] = '\0';

    for (i = 0; i < 4; i++) {
        field[i] = strsep(&line, "\t");
        if (field[i] == NULL) {
            die("write", "four fields expected");
        }
    }

    headers = rd_kafka_headers_new(8);

    for (rest = field[3]; (name = strsep(&rest, ",")) && *name; ) {
        value = strchr(name, '=');
        if (value == NULL) {
            die(name, "no \"=\"");
        }

        *value++ = '\0';

        name = read_hex(name, &len);
        data = read_hex(value, &data_len);

        rd_kafka_header_add(headers, name, len, data,
                            data ? (ssize_t) data_len : 0);
    }

    field[1] = read_hex(field[1], &key_len);
    field[2] = read_hex(field[2], &value_len);

    err = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic),
                            RD_KAFKA_V_PARTITION(atoi(field[0])),
                            RD_KAFKA_V_KEY(field[1], key_len),
                            RD_KAFKA_V_VALUE(field[2], value_len),
                            RD_KAFKA_V_HEADERS(headers),
                            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY
                                                |RD_KAFKA_MSG_F_BLOCK),
                            RD_KAFKA_V_END);
    if (err) {
        die(topic, rd_kafka_err2str(err));
    }
}


static int
cmd_write(char *broker, int argc, char **argv)
{
    FILE             *fp;
    char             *line;
    size_t            size;
    rd_kafka_t       *rk;
    rd_kafka_conf_t  *conf;

    fp = fopen(argv[1], "r");
    if (fp == NULL) {
        die(argv[1], strerror(errno));
    }

    conf = new_conf(broker);

    set(conf, "enable.idempotence", "true");
    set(conf, "linger.ms", "0");
    set(conf, "message.max.bytes", "10000000");

    rd_kafka_conf_set_dr_msg_cb(conf, delivered);

    rk = new_handle(RD_KAFKA_PRODUCER, conf);

    line = NULL;
    size = 0;

    while (getline(&line, &size, fp) != -1) {
        write_record(rk, argv[0], line);
        rd_kafka_poll(rk, 0);
    }

    free(line);
    fclose(fp);

    if (rd_kafka_flush(rk, TIMEOUT) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        die(argv[0], "not all records were written in time");
    }

    rd_kafka_destroy(rk);

    return write_failed;
}


int
main(int argc, char **argv)
{
    int  i;

    for (i = 0; argc >= 3 && commands[i].name; i++) {
        if (strcmp(argv[2], commands[i].name) == 0
            && argc - 3 >= commands[i].min)
        {
            return commands[i].handler(argv[1], argc - 3, argv + 3);
        }
    }

    fprintf(stderr, "usage: kafka_tool BROKER COMMAND ...\n");

    return 2;
}
