#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# From Kafka to devices: a record on a topic that is mapped downwards is
# published to every subscriber, on all workers, with what its headers say.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More;

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;

my $down = $kafka->topic('command', partitions => 2);
my $both = $kafka->topic('chat');
my $up = $kafka->topic('telemetry');

$t->write_conf(kafka => 1, workers => 2, gateway => <<"END");
    topic command kafka=$down downlink;
    topic chat kafka=$both;
    topic telemetry kafka=$up uplink;
END

# what was produced before anybody consumed is not lost

$kafka->write($down, record('early', mqttSecondTopic => '/early',
                            mqttRetain => 'true'));
$t->run;

ok($t->wait_total(kafka_partitions => 3, 20),
   'the workers share the partitions');
ok($t->wait_total(retained_stored => 1, 10), 'what was there is consumed');

my @c = map { $t->client(client_id => "down-$_", version => $_ % 2 ? 5 : 4) }
            1 .. 8;

$_->subscribe('command/#' => 2, 'chat/+/x' => 1, 'telemetry/#' => 1) for @c;

# a record that was retained

for my $c (@c) {
    my $m = $c->recv_message;

    is_deeply([ @$m{qw/ topic payload qos retain /} ],
              [ 'command/early', 'early', 1, 1 ], 'the early one');
}

my @cases = (
    [ 'no header at all', [ ],
      { topic => 'command', qos => 1, props => [ ] } ],
    [ 'sub-levels', [ mqttSecondTopic => '/a/b' ],
      { topic => 'command/a/b' } ],
    [ 'without the slash', [ mqttSecondTopic => 'a' ],
      { topic => 'command/a' } ],
    [ 'a slash only', [ mqttSecondTopic => '/' ], { topic => 'command/' } ],
    [ 'null values', [ mqttSecondTopic => undef, qoslevel => undef ],
      { topic => 'command', qos => 1 } ],
    [ 'QoS 0', [ qoslevel => 0 ], { qos => 0 } ],
    [ 'QoS 2', [ qoslevel => 2 ], { qos => 2 } ],
    [ 'any case', [ QOSLevel => 2, mqttsecondtopic => '/x' ],
      { topic => 'command/x', qos => 2 } ],
    [ 'the last one counts', [ qoslevel => 0, qoslevel => 2 ], { qos => 2 } ],
    [ 'another name', [ mqttSecondTopic => '/a', mqttRealTopic => '/b/c' ],
      { topic => 'command/b/c' } ],
    [ 'another topic', [ mqttSecondTopic => '/a', mqttRealTopic => 'x/y' ],
      { topic => 'x/y' } ],
    [ 'clientId is ignored', [ clientId => 'forged' ], { props => [ ] } ],
    [ 'the flag is of P2P only', [ cleansessionflag => 'maybe' ], { } ],
    [ 'another gateway', [ mqttGateway => 'other' ], { props => [ ] } ],
    [ 'MQTT 5', [ mqtt5PayloadFormat => 1, mqtt5ContentType => 'text/plain',
                  mqtt5ResponseTopic => 'r/t', mqtt5CorrelationData =>
                  "\0\xff", unit => '1/min', unit => 'rpm', 'bad utf8' =>
                  "\xff", "\xc3\xa4" => "\xe2\x82\xac" ],
      { props => [ [ payload_format => 1 ], [ content_type => 'text/plain' ],
                   [ response_topic => 'r/t' ],
                   [ correlation_data => "\0\xff" ],
                   [ user_property => 'unit', '1/min' ],
                   [ user_property => 'unit', 'rpm' ],
                   [ user_property => "\xc3\xa4", "\xe2\x82\xac" ] ] } ],
    [ 'an empty value', [ mqttSecondTopic => '/empty' ],
      { topic => 'command/empty', payload => '' }, '' ],
    [ 'a null value', [ mqttSecondTopic => '/null' ],
      { topic => 'command/null', payload => '' }, undef ],
    [ 'large', [ ], { payload => 'x' x 200000 }, 'x' x 200000 ],
);

for my $case (@cases) {
    my ($name, $headers, $want, @payload) = @$case;
    my $payload = @payload ? $payload[0] : $name;

    $kafka->write($down, record($payload, @$headers));

    for my $c (@c) {
        my $m = $c->recv_message;

        my %want = (topic => 'command', payload => $payload, qos => 1,
                    retain => 0, %$want);

        delete $want{props} if $c->{version} < 5;

        is_deeply({ map { $_ => $m->{$_} } keys %want }, \%want, $name);
    }
}

###############################################################################
# expiry: relative to the time of the record

$kafka->write($down, record('lives', mqtt5MsgExpireInterval => 100));

for my $c (@c) {
    my $m = $c->recv_message;
    my ($expiry) = map { $_->[1] }
                   grep { $_->[0] eq 'message_expiry' } @{ $m->{props} || [] };

    is($m->{payload}, 'lives', 'a message that expires');
    ok($c->{version} < 5 || $expiry > 90 && $expiry <= 100, 'later');
}

$kafka->write($down, record('dead', mqtt5MsgExpireInterval => 0),
              record('next'));

is($_->recv_message->{payload}, 'next', 'one that has expired') for @c;

###############################################################################
# own records of a topic that is mapped both ways

is($c[0]->publish_wait('chat/1/x', 'hello', qos => 1)->{reason} // 0, 0,
   'a device to devices');

is($_->recv_message->{payload}, 'hello', 'they have it') for @c;

ok($t->wait_total(kafka_own => 1, 10),
   'its record is skipped');

$kafka->write($both, record('from the back end', mqttSecondTopic => '/2/x'));

is($_->recv_message->{payload}, 'from the back end', 'and not the other one')
    for @c;

# nobody gets what is mapped upwards

$kafka->write($up, record('no', mqttSecondTopic => '/x'));
$kafka->write($both, record('last', mqttSecondTopic => '/3/x'));

is($_->recv_message->{payload}, 'last', 'nothing from an uplink') for @c;

ok($t->wait_total(kafka_inflight => 0, 5), 'nothing is in flight');

# all was committed: whoever comes next gets nothing of it

ok($t->stop, 'stopped');
$t->run;

ok($t->wait_total(kafka_partitions => 3, 20), 'started again');

my $c = $t->client(client_id => 'later');
$c->subscribe('command/x' => 1, 'chat/#' => 1);
$kafka->write($both, record('after', mqttSecondTopic => '/4/x'));

is($c->recv_message->{payload}, 'after', 'what is done is done');
$c->expect_nothing;
is($t->total('kafka_consumed'), 1, 'nothing was consumed twice');

done_testing();

###############################################################################

sub record {
    my ($payload, @headers) = @_;
    my @pairs;

    push @pairs, [ splice @headers, 0, 2 ] while @headers;

    return { key => 'k', payload => $payload, headers => \@pairs };
}

###############################################################################
