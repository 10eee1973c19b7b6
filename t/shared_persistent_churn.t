#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Members of shared subscriptions with persistent sessions come, go and hang
# while messages are published, also all of them, and workers are killed: none
# is lost, and none of QoS 2 comes twice.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Workers;
use Test::More tests => 8;

use constant STEPS => 120;

###############################################################################

my $t = MqttTest->new;

$t->allow_log(qr/worker in slot \d+ is gone, \d+ frames were dropped/);
$t->write_conf(workers => 3,
               gateway => 'lease_timeout 1s; offline_messages 100000;',
               servers => spread_server('mqtt_send_window 5;'));
$t->run;

my $seed = $ENV{TEST_MQTT_SEED} // time;
srand $seed;
note("TEST_MQTT_SEED=$seed");

my ($home) = $t->worker_pids;
my @publishers = map { client_on($t, $home) } 1 .. 3;

# a group of QoS 1, with clean members too, and one of QoS 2

my %filter = (g => '$share/g/a/#', h => '$share/h/b');
my %qos = (g => 1, h => 2);
my @ids = ((map { ("g-kept-$_", "h-kept-$_") } 1 .. 4), 'g-clean-1',
           'g-clean-2');

my (%online, %seen, %held, %acked);
my ($n, $away) = (0, 0);

come($_), leave($_) for grep { /kept/ } @ids;

for my $step (1 .. STEPS) {
    my $id = $ids[rand @ids];
    my $c = $online{$id};

    # they are few in the beginning, none at times

    if (!$c) {
        come($id) if $step % 40 > 5;

    } elsif ($step % 40 == 0) {
        leave($_) for keys %online;

    } elsif (rand() < 0.4) {
        leave($id);

    } else {
        $c->{auto_ack} = 1 - $c->{auto_ack};
    }

    if ($step == 30 || $step == 70) {
        kill_one();
    }

    $away++ if !%online;
    publish() for 1 .. 10;

    pump(sub { !grep { %{ $_->{payloads} || {} } } @publishers });
}

is(scalar(map { keys %{ $acked{$_} } } 'g', 'h'), $n,
   'all are acknowledged');
cmp_ok($away, '>=', 5, 'while all members were away, too');

# who has something comes back for it

come($_) for grep { !$online{$_} } @ids;
pump(sub { 1 });

for my $c (values %online) {
    $c->{auto_ack} = 1;
    $c->acknowledge($_) for splice @{ $c->{unacked} || [] };
    $c->flush;
}

pump(sub {
    !grep { my $g = $_; grep { !$seen{$g}{$_} } keys %{ $acked{$g} } }
     'g', 'h';
});

for my $group ('g', 'h') {
    is_deeply([ grep { !$seen{$group}{$_} } sort { $a <=> $b }
                keys %{ $acked{$group} } ], [], "$group: none is lost");
}

ok(wait_for {
    my $settled = !$t->redis->keys('*{f:*}[lpq]');

    pump(sub { 1 });
    $settled;
}, 'nothing is left of them');

# but what was just being saved when its worker was killed

my @twice = grep { $_ > 1 } values %{ $seen{h} };
cmp_ok(scalar @twice, '<=', 10, 'h: hardly any comes twice');
cmp_ok(scalar(grep { $_ > 1 } values %{ $seen{g} }), '>', 0,
       'g: what was not acknowledged does');
is($t->total('messages_out_dropped'), 0, 'none is dropped');

###############################################################################

sub come {
    my ($id) = @_;

    my ($group) = $id =~ /^(.)/;
    my @workers = $t->worker_pids;

    # new workers may not be connected to Redis yet

    my $c = wait_for {
        eval {
            client_on($t, $workers[rand @workers], client_id => $id,
                      clean => $id =~ /clean/ ? 1 : 0,
                      $id =~ /clean/ ? () : (props => [ [ session_expiry
                                                          => 1000 ] ]));
        };
    };

    $c->{group} = $group;
    $c->{id} = $id;
    $online{$id} = $c;

    $c->subscribe($filter{$group} => $qos{$group})
        if !$c->connack->{session_present};
}


sub leave {
    my ($id) = @_;

    my $c = delete $online{$id};

    rand() < 0.5 ? $c->close : $c->disconnect;
}


sub kill_one {
    my ($worker) = grep { $_ != $home } $t->worker_pids;

    $t->kill_worker($worker) or diag('not killed');

    pump(sub { 1 });

    delete $online{$_} for grep { $online{$_}{eof} } keys %online;
}


sub publish {
    my $p = $publishers[rand @publishers];
    my $id = $p->next_id;
    my $group = rand() < 0.5 ? 'g' : 'h';

    $p->{payloads}{$id} = [ $group, ++$n ];
    $p->queue(PUBLISH => topic => $group eq 'g' ? 'a/' . $n % 7 : 'b',
              payload => $n, qos => $qos{$group}, packet_id => $id);
}


sub pump {
    my ($until) = @_;

    # what was read with CONNACK or SUBACK

    for my $c (values %online) {
        for my $p (splice(@{ $c->{inbox} }), $c->cut_all) {
            $c->acknowledge($p);
            received($c, $p);
        }
    }

    MqttTest::Client->pump([ @publishers, values %online ], timeout => 30,
        until => $until,
        on_packet => sub {
            my ($c, $p) = @_;

            if ($c->{id}) {
                received($c, $p);

            } elsif ($p->{type} eq 'PUBREC') {
                $c->queue(PUBREL => packet_id => $p->{packet_id});

            } elsif ($p->{type} =~ /^PUB(ACK|COMP)/) {
                my ($group, $payload) =
                    @{ delete $c->{payloads}{$p->{packet_id}} };

                $acked{$group}{$payload} = 1;
            }
        });
}


# a QoS 2 message whose packet identifier is held is the same one again

sub received {
    my ($c, $p) = @_;

    my $held = $held{$c->{id}} //= {};

    push @{ $c->{unacked} }, $p
        if $p->{type} =~ /^PUB(LISH|REL)/ && !$p->{acknowledged};

    if ($p->{type} eq 'PUBREL') {
        delete $held->{$p->{packet_id}};
        return;
    }

    return if $p->{type} ne 'PUBLISH';

    if ($p->{qos} == 2) {
        return if $held->{$p->{packet_id}};
        $held->{$p->{packet_id}} = 1;
    }

    $seen{$c->{group}}{$p->{payload}}++;
}

###############################################################################
