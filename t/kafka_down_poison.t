#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Records that cannot be understood: counted, logged once per topic and second,
# sent to the dead-letter topic, and done; others are not held up.

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

my $down = $kafka->topic('command');
my $other = $kafka->topic('other');
my $dead = $kafka->topic('dead');

my %topics = (command => $down, other => $other);

my @poison = (
    [ 'unknown "qoslevel"', [ qoslevel => 3 ] ],
    [ 'unknown "qoslevel"', [ qoslevel => "\0" ] ],
    [ 'unknown "mqttRetain"', [ mqttRetain => 'yes' ] ],
    [ 'unknown "cleansessionflag"',
      [ mqttSecondTopic => '/p2p/x', cleansessionflag => 2 ] ],
    [ '"mqttSecondTopic" is not UTF-8', [ mqttSecondTopic => "/\xff" ] ],
    [ '"mqttSecondTopic" is not UTF-8', [ mqttSecondTopic => "/a\0b" ] ],
    [ '"mqttSecondTopic" has a wildcard', [ mqttSecondTopic => '/+/a' ] ],
    [ '"mqttSecondTopic" has a wildcard', [ mqttSecondTopic => '/p2p/#' ] ],
    [ '"mqttSecondTopic" is too long', [ mqttSecondTopic => 'x' x 65535 ] ],
    [ '"mqttRealTopic" is not UTF-8', [ mqttRealTopic => "\xc0\x80" ] ],
    [ '"mqttRealTopic" has a wildcard', [ mqttRealTopic => '#' ] ],
    [ 'invalid "mqtt5MsgExpireInterval"', [ mqtt5MsgExpireInterval => '-1' ] ],
    [ 'invalid "mqtt5PayloadFormat"', [ mqtt5PayloadFormat => 'utf8' ] ],
    [ 'invalid "mqtt5ContentType"', [ mqtt5ContentType => "\xff" ] ],
    [ 'invalid "mqtt5ResponseTopic"', [ mqtt5ResponseTopic => 'a/+' ] ],
    [ 'invalid "mqtt5CorrelationData"',
      [ mqtt5CorrelationData => 'x' x 65536 ] ],
);

for my $with ('', "dead_letter kafka=$dead;") {
    my $name = $with ? 'dead letters' : 'no dead letters';

    $t->write_conf(kafka => 1, gateway => <<"END");
        $with
        topic command kafka=$down downlink;
        topic other kafka=$other downlink;
END
    $t->run;

    my $c = $t->client(version => 5);
    $c->subscribe('#' => 1);

    # one write: most of them come within a second

    my $n = $with ? 2 : 1;
    my @records = map { { key => "key-$n", payload => "poison\0\xff $_",
                          headers => pairs('unit', "\xff\xfe", 'null', undef,
                                           @{ $poison[$_][1] }) } }
                  0 .. $#poison;

    $kafka->write($down, @records, { payload => "good $n" });
    $kafka->write($other, @records[0, 1], { payload => "good $n" });

    is_deeply([ sort map { $_->{topic} . $_->{payload} }
                map { $c->recv_message } 1, 2 ],
              [ "commandgood $n", "othergood $n" ],
              "$name: what follows is delivered");
    $c->expect_nothing;

    is($t->total('kafka_poison'), @poison + 2, "$name: counted");
    is($t->total('kafka_dead_letters'), $with ? @poison + 2 : 0,
       "$name: dead letters are counted");

    my @lines = $t->error_log =~ /did\ not\ understand\ (\d+)\ record\(s\)\ of
                                  \ Kafka\ topic\ "\Q$down\E".*:\ (.*)$/xmg;

    cmp_ok(@lines / 2, '<=', 4 * $n, "$name: few lines in the log");
    is($lines[0], 1, "$name: the first is logged at once");
    my $place = qr/the last one, \d+ of partition 0: unknown "qoslevel"/;

    like($t->error_log, qr/Kafka topic "\Q$other\E", $place/,
         "$name: with topic, place and reason");

    ok($t->wait_total(kafka_inflight => 0, 10), "$name: all are done");
    ok($t->stop, "$name: stopped");
}

my @dead = $kafka->records($dead, count => @poison + 2);

is(@dead, @poison + 2, 'all dead letters');

my @from = grep { $_->{headers}[-1][1] eq $down } @dead;

is(@from, @poison, 'those of one topic');

for my $i (0 .. $#poison) {
    my ($reason, $headers) = @{ $poison[$i] };
    my $r = $from[$i];

    is_deeply([ @$r{qw/ key payload headers /} ],
              [ 'key-2', "poison\0\xff $i",
                [ @{ pairs('unit', "\xff\xfe", 'null', undef, @$headers) },
                  [ mqttDeadLetterReason => $reason ],
                  [ mqttDeadLetterTopic => $down ] ] ],
              "$reason: as it was, and why");
}

# they are committed: a third start consumes nothing

$t->run;

my $c = $t->client(version => 5);
$c->subscribe('#' => 1);
$kafka->write($down, { payload => 'last' });
is($c->recv_message->{payload}, 'last', 'started again');
is($t->total('kafka_consumed'), 1, 'nothing is consumed twice');

done_testing();

###############################################################################

sub pairs {
    my (@list) = @_;
    my @pairs;

    push @pairs, [ splice @list, 0, 2 ] while @list;

    return \@pairs;
}

###############################################################################
