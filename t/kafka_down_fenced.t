#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Two members of a group with the same name: the broker fences one of them,
# which comes back without a name, and together they consume everything.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 6;

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;

my $topic = $kafka->topic('command', partitions => 4);
my $group = 'kafka_set group.id %%TESTDIR%%;';

$t->write_conf(kafka => 1, gateway => <<"END", stream => <<"STREAM");
    topic command kafka=$topic downlink;
    $group
    kafka_set group.instance.id same;
END
    mqtt_gateway other {
        zone 4m;
        redis %%REDIS%% prefix=other;
        kafka %%KAFKA%%;
        auth anonymous;
        topic command kafka=$topic downlink;
        $group
        kafka_set group.instance.id same;
    }

    server {
        listen 127.0.0.1:%%PORT_other%%;
        mqtt_pass other;
    }
STREAM

$t->run;

ok($t->wait_log(qr/Kafka consumer of mqtt gateway "\w+" is lost: FENCED/, 20),
   'one of them is fenced');
ok($t->wait_log(qr/is lost.*got \d partition/s, 30), 'it comes back');
ok($t->wait_total(kafka_partitions => 4, 30), 'both consume');

my @c = map { $t->client(port => $_) } qw/ mqtt other /;

$_->subscribe('command' => 1) for @c;

$kafka->write($topic, map { { payload => $_, partition => $_ % 4 } } 0 .. 99);

my %got;

MqttTest::Client->pump(\@c, timeout => 20,
    on_packet => sub { $got{$_[1]{payload}}++ if $_[1]{type} eq 'PUBLISH' },
    until => sub { keys %got == 100 });

is(keys %got, 100, 'everything is delivered');
ok($t->wait_total(kafka_inflight => 0, 10), 'and done');

my $lost = () = $t->error_log =~ /is lost/g;

is($lost, 1, 'they do not fence each other for ever');

###############################################################################
