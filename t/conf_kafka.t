#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# "kafka", "kafka_set", "kafka_queue" and "dead_letter": what "nginx -t"
# accepts and refuses, with file and line, and that no message repeats a
# secret.  No broker is asked.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More;

###############################################################################

my $t = MqttTest->new;
my $dir = $t->certs;

my $server = 'kafka 127.0.0.1:9092;';
my $sasl = 'kafka_set security.protocol sasl_ssl;';

my @good = (
    'kafka 127.0.0.1;',
    'kafka kafka-1.example:9092 kafka-2.example;',
    'kafka [::1]:9092;',
    "kafka_set linger.ms 0; $server",
    "$server kafka_set acks all;",
    "$server kafka_set request.required.acks -1;",
    "$server kafka_set enable.idempotence true;",
    "$server kafka_set compression.type lz4; kafka_set batch.size 100000;",
    "$server kafka_set group.id g; kafka_set auto.offset.reset earliest;",
    "$server kafka_set security.protocol ssl;"
        . " kafka_set ssl.ca.location $dir/ca.crt;",
    "$server kafka_set security.protocol ssl;"
        . ' kafka_set ssl.ca.location ca.crt;',
    "$server kafka_set ssl.ca.location probe;",
    "$server $sasl kafka_set sasl.mechanism PLAIN;"
        . ' kafka_set sasl.username u; kafka_set sasl.password s3cret;',
    "$server kafka_queue 1m;",
    "$server kafka_queue 1m messages=10 qos0=0;",
    "$server dead_letter kafka=dead.letters;",
    "dead_letter kafka=t; topic t uplink; $server",
    "$server kafka_inflight 1m;",
    "$server kafka_inflight 1m messages=10;",
    "$server kafka_set group.instance.id node-1; kafka_set client.rack r;",
    "$server kafka_set group.instance.id '';",
    "$server topic a kafka=t uplink; topic b kafka=t;",
);

my @bad = (
    [ 'kafka;', qr/invalid number of arguments in "kafka" directive/ ],
    [ 'kafka :9092;', qr/no host in Kafka server ":9092"/ ],
    [ 'kafka 127.0.0.1:0;', qr/invalid port in Kafka server/ ],
    [ 'kafka a:9092,b:9092;', qr/invalid port in Kafka server/ ],
    [ 'kafka unix:/tmp/kafka;', qr/invalid host in Kafka server/ ],
    [ 'kafka a:9092/x;', qr/invalid host in Kafka server/ ],
    [ "$server\n$server", qr/"kafka" directive is duplicate/, 6 ],
    [ "kafka_set linger.ms 1;\n", qr/no "kafka" servers/, 7 ],
    [ "topic t;\n", qr/no "kafka"/, 7 ],

    [ "$server kafka_set no.such 1;",
      qr/"no\.such": No such configuration property/ ],
    [ "$server kafka_set linger.ms soon;", qr/"linger\.ms": Invalid value/ ],
    [ "$server kafka_set dr_msg_cb x;", qr/"dr_msg_cb": / ],
    [ "$server kafka_set linger.ms 1; kafka_set linger.ms 2;",
      qr/duplicate Kafka property "linger\.ms"/ ],
    [ "$server kafka_set ssl.ca.location absent.crt;",
      qr/stat\(\) "\S+absent\.crt" failed/ ],

    [ "$server kafka_set acks 1;", qr/"acks" must be "all"/ ],
    [ "$server kafka_set request.required.acks 0;", qr/must be "all"/ ],
    [ "$server kafka_set enable.idempotence false;", qr/must be "true"/ ],
    (map { [ "$server kafka_set $_ 1;", qr/Kafka property "$_" / ] }
        qw/ bootstrap.servers metadata.broker.list plugin.library.paths
            internal.termination.signal enabled_events log.queue
            transactional.id enable.gapless.guarantee
            delivery.report.only.error message.timeout.ms delivery.timeout.ms
            retries message.send.max.retries
            queue.buffering.max.messages queue.buffering.max.kbytes /),

    # what librdkafka sees only when all is set, at the end of the block

    [ "$server kafka_set max.in.flight 6;\n", qr/max\.in\.flight/, 7 ],
    [ "$server kafka_set queuing.strategy lifo;\n", qr/queuing\.strategy/, 7 ],
    [ "$server kafka_set ssl.key.password s3cret;"
          . " kafka_set ssl.keystore.location ca.crt;\n",
      qr/ssl\.keystore\.password/, 7 ],
    [ "$server $sasl kafka_set sasl.mechanism NONE;\n",
      qr/unsupported Kafka SASL mechanism "NONE"/, 7 ],
    [ "$server $sasl kafka_set sasl.mechanism PLAIN;"
          . " kafka_set sasl.password s3cret;\n",
      qr/needs "sasl\.username" and "sasl\.password"/, 7 ],

    [ "$server kafka_queue 0;", qr/invalid size "0"/ ],
    [ "$server kafka_queue much;", qr/invalid size "much"/ ],
    [ "$server kafka_queue 1m messages=0;",
      qr/invalid parameter "messages=0"/ ],
    [ "$server kafka_queue 1m qos0=2m;", qr/invalid parameter "qos0=2m"/ ],
    [ "$server kafka_queue 1m x=1;", qr/invalid parameter "x=1"/ ],
    [ "$server kafka_queue 1m; kafka_queue 1m;",
      qr/"kafka_queue" directive is duplicate/ ],

    [ "$server client_status queue=5;",
      qr/"client_status" directive needs "kafka=" or "per_group"/ ],
    [ "$server client_status kafka=a/b;",
      qr/invalid name of a Kafka topic "a\/b"/ ],
    [ "$server client_status per_group kafka=;",
      qr/invalid name of a Kafka topic ""/ ],
    [ "$server client_status per_group queue=0;",
      qr/invalid parameter "queue=0"/ ],
    [ "$server client_status group;", qr/invalid parameter "group"/ ],
    [ "$server client_status per_group kafka=a queue=5 x;",
      qr/invalid number of arguments in "client_status"/ ],
    [ "$server client_status per_group; client_status kafka=a;",
      qr/"client_status" directive is duplicate/ ],
    [ "client_status per_group;\n", qr/no "kafka" servers/, 7 ],

    [ "$server kafka_inflight 0;", qr/invalid size "0"/ ],
    [ "$server kafka_inflight 1m messages=0;",
      qr/invalid parameter "messages=0"/ ],
    [ "$server kafka_inflight 1m x;", qr/invalid parameter "x"/ ],
    [ "$server kafka_inflight 1m; kafka_inflight 1m;",
      qr/"kafka_inflight" directive is duplicate/ ],
    (map { [ "$server kafka_set $_ false;", qr/Kafka property "$_" / ] }
        qw/ enable.auto.commit auto.commit.enable enable.auto.offset.store
            partition.assignment.strategy group.protocol
            group.remote.assignor offset.store.method /),
    [ "$server kafka_set session.timeout.ms soon;",
      qr/"session\.timeout\.ms": Invalid value/ ],
    [ "$server kafka_set max.poll.interval.ms 1000;\n",
      qr/max\.poll\.interval\.ms/, 7 ],
    [ "$server kafka_set group.instance.id @{[ 'x' x 201 ]};",
      qr/"group\.instance\.id" is too long/ ],
    [ "$server topic a kafka=t downlink; topic b kafka=t;",
      qr/Kafka topic "t" is mapped downwards twice/ ],
    [ "dead_letter kafka=t; topic t;\n$server",
      qr/dead-letter topic "t" is mapped downwards/, 7 ],

    [ "$server dead_letter dead;", qr/invalid parameter "dead"/ ],
    [ "$server dead_letter kafka=;", qr/invalid name of a Kafka topic ""/ ],
    [ "$server dead_letter kafka=a/b;",
      qr/invalid name of a Kafka topic "a\/b"/ ],
    [ "$server dead_letter kafka=..;", qr/invalid name of a Kafka topic/ ],
    [ "$server dead_letter kafka=a; dead_letter kafka=b;",
      qr/"dead_letter" directive is duplicate/ ],
);

plan tests => @good + 2 * @bad;

for my $lines (@good) {
    my ($output, $rc) = $t->nginx_t(conf($lines));

    is($rc, 0, "accepted: $lines") or diag($output);
}

for my $case (@bad) {
    my ($lines, $message, $line) = @$case;

    my ($output) = $t->nginx_t(conf($lines));

    $line //= 5;

    (my $name = $lines) =~ s/\s+/ /g;

    like($output, qr/\[emerg\] .*$message.* in \S+:$line$/m,
         "refused: $name");
    unlike($output, qr/s3cret/, 'no secret in it');
}

###############################################################################

# the lines begin in line 5, the block ends in line 7 when they are two

sub conf {
    my ($lines) = @_;

    return <<"END";
%%GLOBALS%%
events { }
stream {
    mqtt_gateway test { zone 4m; redis 127.0.0.1; auth anonymous;
        $lines
    }
    server { listen 127.0.0.1:%%PORT_mqtt%%; mqtt_pass test; }
}
END
}

###############################################################################
