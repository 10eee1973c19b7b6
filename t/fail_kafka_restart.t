#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Kafka is killed under load and started again, on the same port and with the
# same data: nothing acknowledged is lost, the rest is acknowledged then.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 11;

use constant { DEVICES => 20, EACH => 300 };

###############################################################################

# not the Kafka that the files share

my $kafka = MqttTest::Kafka->new;
my $t = MqttTest->new(kafka => $kafka);

my $topic = $kafka->topic('restart', partitions => 3);

$t->write_conf(kafka => 1, gateway => <<"END");
    topic restart kafka=$topic uplink;
END

$t->run;

my @clients = map {
    $t->client(version => $_ % 2 ? 4 : 5, client_id => "device-$_")
} 1 .. DEVICES;

my $acked = sub { my $n = 0; $n += @{ $_->acked } for @clients; $n };
my $killed;

MqttTest::Client->publish_many(\@clients,
    count => EACH, topic => 'restart', timeout => 60,
    until => sub {
        return 0 if $killed || $acked->() < DEVICES * EACH / 3;

        $kafka->kill;
        $killed = $acked->();

        ok($t->wait_log(qr/Kafka .* is down/), 'logged: Kafka is down');

        $kafka->start;

        return 0;
    });

ok($killed, 'Kafka was killed');
cmp_ok($killed, '<', DEVICES * EACH, 'under load');
is($acked->(), DEVICES * EACH, 'everything is acknowledged afterwards');

my (%seen, $wrong);

for my $r ($kafka->records($topic, count => DEVICES * EACH)) {
    my $seen = $seen{$r->{key}} //= {};

    # a producer that had to be replaced may repeat, but never skip

    $wrong++ if !$seen->{$r->{payload}}++ && $r->{payload} != keys(%$seen) - 1;
}

is(scalar(grep { keys %$_ == EACH } values %seen), DEVICES,
   'everything is in Kafka');
is($wrong, undef, 'in order');

my $replaced = $t->error_log =~ /will be replaced/;
my @twice = grep { $_ > 1 } map { values %$_ } values %seen;

ok($replaced || !@twice, 'once, unless the producer was replaced')
    or diag(scalar(@twice), ' records twice');

like($t->error_log, qr/Kafka .* is back/, 'logged: Kafka is back');
is($t->total('kafka_queue_messages'), 0, 'no records wait');
is($t->total('kafka_failed'), 0, 'none was refused');
is($t->total('kafka_acked'), DEVICES * EACH, 'each was acknowledged once');

###############################################################################
