#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Records that Kafka refuses for good: too large for the topic or for the
# producer, or of a topic that does not exist.  With and without a dead-letter
# topic, for every version; a batch that is too large is nobody's fault.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 54;

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;

my %limit = (config => { 'max.message.bytes' => 2000 });

my $small = $kafka->topic('small', %limit);
my $batch = $kafka->topic('batch', %limit);
my $any = $kafka->topic('any');
my $dead = $kafka->topic('dead', config => { 'max.message.bytes' => 4000 });
my $missing = "missing.$$." . int rand 1e6;

my $topics = <<"END";
    topic small kafka=$small;
    topic any kafka=$any;
    topic missing kafka=$missing;
    kafka_set topic.metadata.propagation.max.ms 300;
END

my $gateway = "zone 2m; redis %%REDIS%%; kafka %%KAFKA%%; auth anonymous;";

$t->write_conf(kafka => 1, gateway => <<"END", servers => <<"END_SERVERS");
    $topics
    topic batch kafka=$batch;
    kafka_set message.max.bytes 10000;
    kafka_set linger.ms 50;
END
    mqtt_gateway lenient {
        $gateway
        $topics
        refused_publish acknowledge;
    }

    server {
        listen 127.0.0.1:%%PORT_lenient%%;
        mqtt_pass lenient;
    }

    mqtt_gateway buried {
        $gateway
        $topics
        dead_letter kafka=$dead;
    }

    server {
        listen 127.0.0.1:%%PORT_buried%%;
        mqtt_pass buried;
    }
END_SERVERS

$t->run;

my $large = 'L' x 3000;
my $larger = 'X' x 12000;

# by default

{
    my $other = $t->client(version => 4, client_id => 'other');
    my $c = $t->client(version => 5, client_id => 'c5');

    $c->publish('any', 'ok', qos => 1, packet_id => 1);
    $c->publish('small', $large, qos => 1, packet_id => 2);
    $c->publish('any', $larger, qos => 1, packet_id => 3);
    $c->publish('missing/x', 'x', qos => 1, packet_id => 4);
    $c->publish('small', 'fits', qos => 1, packet_id => 5);

    $c->expect(PUBACK => packet_id => 1, reason => 0);
    $c->expect(PUBACK => packet_id => 2, reason => 0x97,
               -name => 'too large for the topic');
    $c->expect(PUBACK => packet_id => 3, reason => 0x97,
               -name => 'too large for the producer');
    $c->expect(PUBACK => packet_id => 4, reason => 0x90,
               -name => 'no such topic');
    $c->expect(PUBACK => packet_id => 5, reason => 0);

    $c->publish('small', $large, qos => 2, packet_id => 6);
    $c->expect(PUBREC => packet_id => 6, reason => 0x97, -name => 'QoS 2');
    $c->publish('small', 'again', qos => 2, packet_id => 6);
    $c->expect(PUBREC => packet_id => 6, reason => 0,
               -name => 'its packet id is free again');
    $c->send(PUBREL => packet_id => 6);
    $c->expect(PUBCOMP => packet_id => 6);

    is($t->total('messages_refused'), 4, 'refused publishes are counted');
    is($t->total('kafka_failed'), 4, 'and so are refused records');

    $c->publish('small', $large, qos => 0);
    ok(wait_for { $t->total('kafka_failed') == 5 }, 'QoS 0: counted');
    $c->expect_alive('QoS 0: no other answer');

    for my $version (3, 4) {
        for my $qos (1, 2) {
            my $c = $t->client(version => $version, client_id => 'c3');

            $c->publish('any', 'ok', qos => $qos, packet_id => 1);
            $c->publish('small', $large, qos => $qos, packet_id => 2);
            $c->publish('any', 'not ok', qos => $qos, packet_id => 3);

            $c->expect($qos == 1 ? 'PUBACK' : 'PUBREC', packet_id => 1);
            $c->expect_close("version $version QoS $qos: closed, no answer");
        }
    }

    my $log = $t->error_log;

    like($log, qr/\[error\].*"test" refused 1 record.*"\Q$small\E": .*large/,
         'logged: the topic and why');
    like($log, qr/refused 1 record.*"\Q$missing\E": .*nknown/,
         'logged: a missing topic');
    like($log, qr/\[info\].*publish of client was refused: .*client id: "c5"/,
         'logged: the client');

    $other->expect_alive('another client has noticed nothing');

    my @values = map { $_->{payload} } $kafka->records($small, count => 2);

    is("@values", 'fits again', 'what fits is in the topic, and only that');
}

# small records that are too large together

{
    my $c = $t->client(version => 5, client_id => 'batch');

    $c->queue(PUBLISH => topic => 'batch', payload => "$_" . '-' x 300,
              qos => 1, packet_id => $_) for 1 .. 20;
    $c->flush;

    my @answers = map { $c->recv // () } 1 .. 20;
    my @values = map { $_->{payload} =~ /^(\d+)/ }
                 $kafka->records($batch, count => 20);

    is(scalar(grep { $_->{type} eq 'PUBACK' && $_->{reason} == 0 } @answers),
       20, 'a batch that is too large: all accepted');
    is("@values", join(' ', 1 .. 20), 'and all are there, once, in order');
    is($t->total('kafka_failed'), 9, 'none was refused');
    ok($t->error_log =~ qr/refused a batch larger than max.message.bytes/,
       'logged, once for the batch');
}

# refused_publish acknowledge

for my $version (4, 5) {
    my $c = $t->client(port => 'lenient', version => $version);
    my $reason = $version == 5 ? 0x97 : 0;

    $c->publish('small', $large, qos => 1, packet_id => 1);
    $c->expect(PUBACK => packet_id => 1, reason => $reason,
               -name => "acknowledge, version $version, QoS 1");

    $c->publish('small', $large, qos => 2, packet_id => 1);
    $c->expect(PUBREC => packet_id => 1, reason => $reason,
               -name => "acknowledge, version $version, QoS 2");

    if ($version == 4) {
        $c->send(PUBREL => packet_id => 1);
        $c->expect(PUBCOMP => packet_id => 1);
    }

    $c->expect_alive;
}

my $counters = $t->status->{gateways}{lenient}{total};

is($counters->{messages_refused}, 4, 'they are counted as refused');

# a dead-letter topic

{
    my $c = $t->client(port => 'buried', version => 5, client_id => 'c');

    $c->publish('small/a', $large, qos => 1, packet_id => 1,
                props => [ [ user_property => 'k', 'v' ] ]);
    $c->expect(PUBACK => packet_id => 1, reason => 0,
               -name => 'a dead letter is acknowledged');

    my ($offsets) = $kafka->offsets($dead);
    is($offsets->[1], 1, 'when it is there');

    $c->publish('missing', '', qos => 2, packet_id => 2);
    $c->expect(PUBREC => packet_id => 2, reason => 0);

    $c->publish('small', $larger, qos => 1, packet_id => 3);
    $c->expect(PUBACK => packet_id => 3, reason => 0x97,
               -name => 'one that is refused there too is not');

    $c->publish('any', 'ok', qos => 1, packet_id => 4);
    $c->expect(PUBACK => packet_id => 4, reason => 0,
               -name => 'others follow');

    my $c4 = $t->client(port => 'buried', version => 4, client_id => 'c4');
    $c4->publish('small', $large, qos => 0);
    $c4->publish('small', $larger, qos => 1, packet_id => 5);
    $c4->expect_close('3.1.1: refused there too');

    my @records = $kafka->records($dead, count => 3);
    my ($r1, $r2, $r3) = @records;

    my $headers = sub {
        my ($qos, $sub, $id, @more) = @_;

        return [ [ qoslevel => $qos ], [ cleansessionflag => 'true' ],
                 [ mqttSecondTopic => $sub ], [ clientId => $id ],
                 [ mqttGateway => 'buried' ], @more ];
    };
    my $too_large = [ mqttDeadLetterReason => 'MSG_SIZE_TOO_LARGE' ];

    is(@records, 3, 'three dead letters');
    is_deeply([ @$r1{qw/ key payload /} ], [ 'c', $large ], 'as they were');
    is_deeply($r1->{headers},
              $headers->(1, '/a', 'c', [ k => 'v' ], $too_large,
                         [ mqttDeadLetterTopic => $small ]),
              'with their headers, and why and from where');
    is($r2->{payload}, '', 'an empty value is not null');
    like($r2->{headers}[5][1], qr/^_?UNKNOWN_TOPIC/, 'a missing topic');
    is($r2->{headers}[6][1], $missing, 'and its name');
    is_deeply($r3->{headers},
              $headers->(0, '', 'c4', $too_large,
                         [ mqttDeadLetterTopic => $small ]),
              'QoS 0 leaves a dead letter as well');

    my $counters = $t->status->{gateways}{buried}{total};

    is($counters->{kafka_failed}, 5, 'refused records are counted');
    is($counters->{kafka_dead_letters}, 5, 'dead letters are counted');
    is($counters->{messages_refused}, 2, 'only two publishes were refused');
    is($counters->{kafka_queue_messages}, 0, 'nothing waits');
}

###############################################################################
